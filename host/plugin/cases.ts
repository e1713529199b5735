/**
 * Cases of this node: made of what workers tell, kept on disk, found by their id or by the uuid of
 * the flow that shows the denial, the malformed end or the fault.
 */
import type { Logger } from "pino";
import { type Case, caseSchema } from "../../runtime/contract/case.ts";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { RECORD_VERDICT } from "../../runtime/contract/records.ts";
import { readRecordFields } from "../event/record-fields.ts";
import type { L7Record, ProxyCase, ProxyConnection } from "../event/types.ts";
import type { L7Rules } from "../policy/types.ts";
import { caseContent } from "./case-content.ts";
import type { CaseEntry, CaseFiles } from "./case-files.ts";
import { PluginRequestError } from "./errors.ts";

export interface CasesDeps {
  log: Logger;
  files: CaseFiles;
  rulesOf: (ruleSet: number) => L7Rules["rules"] | undefined;
  manifestOf: (digest: string) => Manifest | undefined;
  /** Of the flow with this time. */
  flowUuid: (time: bigint) => string;
  /** What the flow with this uuid tells of; undefined: it is gone, or no message. */
  recordOf: (uuid: string) => L7Record | undefined;
}

interface Shown {
  connection: ProxyConnection;
  /** Of the flow; undefined: what the connection says, which ends with the flow. */
  time: bigint | undefined;
}

export class Cases {
  readonly #deps: CasesDeps;
  /** Case id → what names its flow, for as long as the agent lives and the case is there. */
  readonly #shown = new Map<string, Shown>();

  constructor(deps: CasesDeps) {
    this.#deps = deps;
  }

  /** A case that cannot be written is lost, and said to be. */
  add({ body, connection }: ProxyCase): void {
    const { log, files, rulesOf, manifestOf } = this.#deps;
    try {
      const manifest = manifestOf(body.open.plugin.digest);
      const { id } = files.add(caseSchema.parse(caseContent(body, { rulesOf, manifest })));
      if (connection === undefined) return;
      // A denial has its flow already, and the connection may go on and be denied again.
      const time = body.cause === "denied" ? connection.shownAt : undefined;
      this.#shown.set(id, { connection, time });
      const there = new Set(files.list().map((one) => one.id));
      for (const old of this.#shown.keys()) if (!there.has(old)) this.#shown.delete(old);
    } catch (error) {
      log.error({ error }, "Cannot keep a case");
    }
  }

  list(): (CaseEntry & { flow: string | undefined })[] {
    return this.#deps.files.list().map((one) => ({ ...one, flow: this.#flowOf(one.id) }));
  }

  /**
   * Of a denial whose connection was not recorded: what its flow says, without bytes. Throws
   * PluginRequestError.
   */
  get(reference: string): Case {
    const found = this.#lookUp(reference);
    const bare = found === undefined ? this.#bareCase(reference) : undefined;
    return bare ?? this.#deps.files.read(found ?? this.#find(reference));
  }

  #bareCase(uuid: string): Case | undefined {
    const { rulesOf, manifestOf, recordOf } = this.#deps;
    const record = recordOf(uuid);
    const open = record?.connection.open;
    if (record?.verdict !== RECORD_VERDICT.denied || open === undefined) return undefined;
    const { kind, verdict, stage, exchange } = record;
    const fields = readRecordFields(record.body).map(({ key, value }) => {
      const text = typeof value === "number" ? value : Buffer.from(value).toString("base64");
      return { key, value: text };
    });
    const records = [{ kind, verdict, stage, exchange, fields }];
    const missing = ["its bytes were not recorded"];
    const manifest = manifestOf(open.plugin.digest);
    return caseContent(
      { open, cause: "denied", steps: [], records, missing },
      { rulesOf, manifest },
    );
  }

  /** Throws PluginRequestError. */
  remove(reference: string): CaseEntry & { flow: string | undefined } {
    const found = this.#find(reference);
    const view = { ...found, flow: this.#flowOf(found.id) };
    this.#deps.files.remove(found);
    return view;
  }

  #lookUp(reference: string): CaseEntry | undefined {
    return this.list().find((one) => one.id === reference || one.flow === reference);
  }

  #find(reference: string): CaseEntry {
    const found = this.#lookUp(reference);
    if (found !== undefined) return found;
    throw new PluginRequestError(
      404,
      `Cannot find case ${reference}: its connection was not recorded, or the case is gone; ` +
        "record with 'imker plugin record NAME' and provoke it again",
    );
  }

  #flowOf(id: string): string | undefined {
    const shown = this.#shown.get(id);
    const time = shown?.time ?? shown?.connection.shownAt;
    return time === undefined ? undefined : this.#deps.flowUuid(time);
  }
}
