/** Keeps the records of an instance as readable lines, by the names of its manifest. */
import type { Manifest } from "../contract/manifest.ts";
import type { HostImports, RecordView } from "../isolate/types.ts";

const KINDS = ["request", "response"] as const;
const VERDICTS = ["forwarded", "denied", "error"] as const;

/** Host imports that keep records in `lines`; `match` asks the given matcher. */
export class RecordLog implements HostImports {
  lines: string[] = [];
  readonly #manifest: Manifest;
  readonly #match: (handle: number, bytes: Uint8Array) => boolean;

  constructor(manifest: Manifest, match: (handle: number, bytes: Uint8Array) => boolean) {
    this.#manifest = manifest;
    this.#match = match;
  }

  emit(record: RecordView): void {
    const kind = KINDS[record.kind] ?? "request";
    const verdict = VERDICTS[record.verdict] ?? `verdict ${record.verdict}`;
    const stage = record.verdict === 1 ? ` by stage ${record.stage}` : "";
    const fields: string[] = [];
    for (let index = 0; index < record.fieldCount; index++) {
      const name = this.#manifest.records[kind].fields[record.key[index] ?? 0];
      fields.push(`${name ?? "?"}=${fieldValue(record, index)}`);
    }
    this.lines.push([`${kind} ${record.exchange} ${verdict}${stage}`, ...fields].join(" "));
  }

  log(): void {}

  match(handle: number, bytes: Uint8Array): boolean {
    return this.#match(handle, bytes);
  }
}

function fieldValue(record: RecordView, index: number): string {
  if (record.isNumber[index] === 1) return String(record.number[index]);
  const start = record.start[index] ?? 0;
  const length = record.length[index] ?? 0;
  return Buffer.from(record.memory.subarray(start, start + length)).toString("latin1");
}
