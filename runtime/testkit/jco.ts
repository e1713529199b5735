/**
 * A component run through jco's generated glue, behind the interface of our own lifter: the check
 * that what we ship is a component to others too. Slow (about 10 µs a call): for tests only.
 */
import { z } from "zod";
import { PluginRuleError } from "../isolate/errors.ts";
import type {
  HostImports,
  InstanceFacts,
  InstanceStage,
  Operations,
  PluginInstance,
  PluginRule,
  RecordView,
} from "../isolate/types.ts";
import { OPERATIONS_MAX } from "../isolate/types.ts";

const OPERATION_TAGS = ["more", "pass", "drop", "pass-rest", "inject", "close"];
const REASONS = ["finished", "denied", "malformed"];
const DIRECTIONS = ["request", "response"];
const ENDS = ["open", "closed", "failed"];
const KINDS = ["request", "response"];
const VERDICTS = ["forwarded", "denied", "error"];
const POINTS = ["egress", "ingress"];

const operationSchema = z.object({ tag: z.string(), val: z.unknown().optional() });
const injectionSchema = z.object({ direction: z.string(), bytes: z.instanceof(Uint8Array) });
const ruleErrorSchema = z.object({
  payload: z.object({ rule: z.number(), key: z.string(), message: z.string() }),
});
const fieldSchema = z.object({
  key: z.number(),
  value: z.discriminatedUnion("tag", [
    z.object({ tag: z.literal("span"), val: z.object({ offset: z.number(), length: z.number() }) }),
    z.object({ tag: z.literal("number"), val: z.bigint() }),
    z.object({ tag: z.literal("bytes"), val: z.instanceof(Uint8Array) }),
  ]),
});
const recordSchema = z.object({
  kind: z.string(),
  verdict: z.string(),
  stage: z.number(),
  exchange: z.number(),
  fields: z.array(fieldSchema),
});

type Stages = { point: string; ruleSet: number }[];
interface Plugin {
  compile(rules: unknown): Uint8Array;
  load(compiled: Uint8Array): number;
  unload(ruleSet: number): void;
  open(facts: unknown): number;
  setStages(connection: number, stages: Stages): void;
  onData(c: number, d: string, data: Uint8Array, end: string, now: bigint): unknown[];
  close(connection: number): void;
}
type Glue = {
  instantiate(core: (name: string) => WebAssembly.Module, imports: unknown): { plugin: Plugin };
};

/** An instance through jco's module (`transpile` with `instantiation: sync`). */
export function instantiateJco(
  glue: unknown,
  compileCore: (name: string) => WebAssembly.Module,
  imports: HostImports,
): PluginInstance {
  return new JcoInstance(glue as Glue, compileCore, imports);
}

class JcoInstance implements PluginInstance {
  readonly operations: Operations = {
    count: 0,
    kind: new Uint8Array(OPERATIONS_MAX),
    n: new Float64Array(OPERATIONS_MAX),
    direction: new Uint8Array(OPERATIONS_MAX),
    start: new Uint32Array(OPERATIONS_MAX),
    length: new Uint32Array(OPERATIONS_MAX),
    memory: new Uint8Array(),
  };
  readonly fuelUsed = 0;
  readonly memoryBytes = 0;
  readonly #plugin: Plugin;
  #data: Uint8Array = new Uint8Array();

  constructor(glue: Glue, core: (name: string) => WebAssembly.Module, imports: HostImports) {
    const host = {
      emit: (connection: number, record: unknown) =>
        imports.emit(this.#view(connection, recordSchema.parse(record))),
      log: (_level: string, message: string) => imports.log(0, message),
      match: (handle: number, bytes: Uint8Array) => imports.match(handle, bytes),
    };
    this.#plugin = glue.instantiate(core, { "imker:l7/host": host }).plugin;
  }

  compile(rules: readonly PluginRule[]): Uint8Array {
    try {
      return this.#plugin.compile(rules.map((rule) => rule.map(toField)));
    } catch (error) {
      const parsed = ruleErrorSchema.safeParse(error);
      if (!parsed.success) throw error;
      const { rule, key, message } = parsed.data.payload;
      throw new PluginRuleError(rule, key, message);
    }
  }

  load(compiled: Uint8Array): number {
    return this.#plugin.load(compiled);
  }

  unload(ruleSet: number): void {
    this.#plugin.unload(ruleSet);
  }

  open(facts: InstanceFacts): number {
    return this.#plugin.open({ ...facts, stages: facts.stages.map(toStage) });
  }

  setStages(connection: number, stages: readonly InstanceStage[]): void {
    this.#plugin.setStages(connection, stages.map(toStage));
  }

  onData(
    connection: number,
    direction: number,
    data: Uint8Array,
    offset: number,
    length: number,
    end: number,
    nowHigh: number,
    nowLow: number,
  ): void {
    this.#data = data.slice(offset, offset + length);
    const now = (BigInt(nowHigh) << 32n) | BigInt(nowLow);
    const list = this.#plugin.onData(
      connection,
      DIRECTIONS[direction] ?? "",
      this.#data,
      ENDS[end] ?? "",
      now,
    );
    this.#fill(list);
  }

  close(connection: number): void {
    this.#plugin.close(connection);
  }

  #fill(list: readonly unknown[]): void {
    const { operations } = this;
    const injected: Uint8Array[] = [];
    let at = 0;
    operations.count = list.length;
    list.forEach((item, index) => {
      const { tag, val } = operationSchema.parse(item);
      operations.kind[index] = OPERATION_TAGS.indexOf(tag);
      if (typeof val === "bigint") operations.n[index] = Number(val);
      else if (typeof val === "string") operations.n[index] = REASONS.indexOf(val);
      if (tag !== "inject") return;
      const { direction, bytes } = injectionSchema.parse(val);
      operations.direction[index] = DIRECTIONS.indexOf(direction);
      operations.start[index] = at;
      operations.length[index] = bytes.length;
      injected.push(bytes);
      at += bytes.length;
    });
    operations.memory = Buffer.concat(injected);
  }

  #view(connection: number, record: z.infer<typeof recordSchema>): RecordView {
    const { fields } = record;
    const texts = fields.map(({ value }) => {
      if (value.tag === "bytes") return value.val;
      if (value.tag === "number") return new Uint8Array();
      return this.#data.subarray(value.val.offset, value.val.offset + value.val.length);
    });
    let at = 0;
    const start = Uint32Array.from(texts, (text) => {
      at += text.length;
      return at - text.length;
    });
    return {
      connection,
      kind: KINDS.indexOf(record.kind),
      verdict: VERDICTS.indexOf(record.verdict),
      stage: record.stage,
      exchange: record.exchange,
      fieldCount: fields.length,
      memory: Buffer.concat(texts),
      key: Uint16Array.from(fields, (field) => field.key),
      isNumber: Uint8Array.from(fields, ({ value }) => (value.tag === "number" ? 1 : 0)),
      start,
      length: Uint32Array.from(texts, (text) => text.length),
      number: Float64Array.from(fields, ({ value }) =>
        value.tag === "number" ? Number(value.val) : 0,
      ),
    };
  }
}

function toField(field: PluginRule[number]) {
  const { key, value, pattern } = field;
  if (pattern.kind === "automaton")
    return { key, value, pattern: { tag: "automaton", val: pattern.table } };
  if (pattern.kind === "handle")
    return { key, value, pattern: { tag: "handle", val: pattern.handle } };
  return { key, value, pattern: { tag: "literal" } };
}

function toStage(stage: InstanceStage): Stages[number] {
  return { point: POINTS[stage.point] ?? "", ruleSet: stage.ruleSet };
}
