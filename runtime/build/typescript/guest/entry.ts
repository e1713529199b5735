/// <reference path="./host-module.d.ts" />
/**
 * The exports of the world for a plugin in full TypeScript, as QuickJS sees them: values of
 * JavaScript in, values of JavaScript out. Between them and the author's `createPlugin` stands what
 * runs the same source natively, so that both ways share every layout. The build bundles this file.
 */
import "./globals.ts";
import { emit, log, match } from "imker:l7/host@1.0.0";
import { createPlugin } from "imker:plugin";
import { PluginLoadError, PluginRuleError } from "../../../isolate/errors.ts";
import type { InstanceFacts, PluginRule, RecordView } from "../../../isolate/types.ts";
import { OPERATION } from "../../../isolate/types.ts";
import { instantiateNative } from "../../../testkit/native.ts";

interface Stage {
  point: string;
  ruleSet: number;
}
type Pattern =
  | { tag: "literal" }
  | { tag: "automaton"; val: Uint8Array }
  | { tag: "handle"; val: number };
interface RuleField {
  key: string;
  value: string;
  pattern: Pattern;
}
type Operation = { tag: string; val?: unknown };

const DIRECTIONS = ["request", "response"];
const ENDS = ["open", "closed", "failed"];
const POINTS = ["egress", "ingress"];
const LEVELS = ["debug", "info", "warn", "error"];
const KINDS = ["request", "response"];
const VERDICTS = ["forwarded", "denied", "error"];
const REASONS = ["finished", "denied", "malformed"];
const TAGS = ["more", "pass", "drop", "pass-rest", "inject", "close"];
const TWO_32 = 2 ** 32;

/**
 * Messages after which a call is full: interpreted ones are expensive, and the rest of the bytes
 * comes with the next call, which has a budget of its own.
 */
const RECORDS_FULL = 4;

const imports = {
  emit: (record: RecordView) => emit(record.connection, recordOf(record)),
  log: (level: number, message: string) => log(LEVELS[level] ?? "error", message),
  match: (handle: number, bytes: Uint8Array) => match(handle, bytes.slice()),
};
const instance = instantiateNative(createPlugin, imports, RECORDS_FULL);

function recordOf(record: RecordView): Parameters<typeof emit>[1] {
  const fields: Parameters<typeof emit>[1]["fields"] = [];
  for (let index = 0; index < record.fieldCount; index++) {
    const start = record.start[index] ?? 0;
    const end = start + (record.length[index] ?? 0);
    fields.push({
      key: record.key[index] ?? 0,
      value:
        record.isNumber[index] === 1
          ? { tag: "number", val: record.number[index] ?? 0 }
          : { tag: "bytes", val: record.memory.slice(start, end) },
    });
  }
  const { stage, exchange } = record;
  const kind = KINDS[record.kind] ?? "";
  return { kind, verdict: VERDICTS[record.verdict] ?? "", stage, exchange, fields };
}

function ruleOf(fields: RuleField[]): PluginRule {
  return fields.map(({ key, value, pattern }) => ({
    key,
    value,
    pattern:
      pattern.tag === "automaton"
        ? { kind: "automaton", table: pattern.val }
        : pattern.tag === "handle"
          ? { kind: "handle", handle: pattern.val }
          : { kind: "literal" },
  }));
}

function stagesOf(stages: Stage[]): InstanceFacts["stages"] {
  return stages.map(({ point, ruleSet }) => ({ point: POINTS.indexOf(point), ruleSet }));
}

function operationsOf(): Operation[] {
  const { count, kind, n, direction, start, length, memory } = instance.operations;
  const list: Operation[] = [];
  for (let index = 0; index < count; index++) {
    const code = kind[index] ?? 0;
    const tag = TAGS[code] ?? "";
    if (code === OPERATION.passRest) list.push({ tag });
    else if (code === OPERATION.close) list.push({ tag, val: REASONS[n[index] ?? 0] });
    else if (code === OPERATION.inject) {
      const from = start[index] ?? 0;
      const bytes = memory.slice(from, from + (length[index] ?? 0));
      list.push({ tag, val: { direction: DIRECTIONS[direction[index] ?? 0], bytes } });
    } else list.push({ tag, val: n[index] });
  }
  return list;
}

/** What a plugin throws is a trap; its own words go to the log first, nobody would hear them. */
function guarded<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof PluginRuleError) {
      const { rule, key, detail } = error;
      throw { rule, key, message: detail };
    }
    if (error instanceof PluginLoadError) throw error.detail;
    const text = error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : error;
    log("error", String(text));
    throw error;
  }
}

/** The interface `imker:l7/plugin`. */
export const plugin = {
  compile: (rules: RuleField[][]) => guarded(() => instance.compile(rules.map(ruleOf))),
  load: (compiled: Uint8Array) => guarded(() => instance.load(compiled)),
  unload: (ruleSet: number) => guarded(() => instance.unload(ruleSet)),
  open: (facts: Omit<InstanceFacts, "stages"> & { stages: Stage[] }) =>
    guarded(() => instance.open({ ...facts, stages: stagesOf(facts.stages) })),
  setStages: (connection: number, stages: Stage[]) =>
    guarded(() => instance.setStages(connection, stagesOf(stages))),
  onData: (connection: number, direction: string, data: Uint8Array, end: string, now: number) =>
    guarded(() => {
      const high = Math.floor(now / TWO_32);
      const low = now - high * TWO_32;
      const [way, after] = [DIRECTIONS.indexOf(direction), ENDS.indexOf(end)];
      instance.onData(connection, way, data, 0, data.length, after, high, low);
      return operationsOf();
    }),
  close: (connection: number) => guarded(() => instance.close(connection)),
};
