/** Keeps the records of an instance as readable lines, by the names of its manifest. */
import type { Manifest } from "../contract/manifest.ts";
import { recordLine } from "../contract/record-line.ts";
import type { HostImports, RecordView } from "../isolate/types.ts";

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
    const { records } = this.#manifest;
    const names = (record.kind === 1 ? records.response : records.request).fields;
    const fields = Array.from({ length: record.fieldCount }, (_, index) => {
      return [names[record.key[index] ?? 0] ?? "?", fieldValue(record, index)] as const;
    });
    const { kind, verdict, stage, exchange } = record;
    this.lines.push(recordLine({ kind, verdict, stage, exchange, fields }));
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
