/**
 * The slow half of the canonical ABI for world l7-plugin: rules, compiled rule sets and connection
 * facts into guest memory, results and strings out of it. Runs on control calls only, so it may
 * allocate. Layouts: a rule field is key, value, pattern tag at 16, payload at 20, 28 bytes; a
 * stage is point at 0, rule set at 4, 8 bytes.
 */
import type { GuestMemory } from "./guest-memory.ts";
import { contractFault } from "./guest-memory.ts";
import type { InstanceStage, PluginRule } from "./types.ts";

const RULE_BYTES = 8;
const RULE_FIELD_BYTES = 28;
const STAGE_BYTES = 8;
/** Bytes of an error message taken over from a plugin. */
export const MESSAGE_BYTES_MAX = 4_096;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Allocates in the guest by its `cabi_realloc` and writes there. */
export class Lowerer {
  readonly #memory: GuestMemory;
  readonly #realloc: (old: number, oldSize: number, alignment: number, size: number) => number;

  constructor(
    memory: GuestMemory,
    realloc: (old: number, oldSize: number, alignment: number, size: number) => number,
  ) {
    this.#memory = memory;
    this.#realloc = realloc;
  }

  allocate(size: number, alignment: number): number {
    const pointer = this.#realloc(0, 0, alignment, size) >>> 0;
    this.#memory.refresh();
    this.#memory.check(pointer, 1, size, alignment);
    return pointer;
  }

  bytes(source: Uint8Array): number {
    const pointer = this.allocate(source.length, 1);
    this.#memory.write(pointer, source, 0, source.length);
    return pointer;
  }

  stages(stages: readonly InstanceStage[]): number {
    const pointer = this.allocate(stages.length * STAGE_BYTES, 4);
    for (const [index, { point, ruleSet }] of stages.entries()) {
      const at = pointer + index * STAGE_BYTES;
      this.#memory.setU32(at, point);
      this.#memory.setU32(at + 4, ruleSet);
    }
    return pointer;
  }

  rules(rules: readonly PluginRule[]): number {
    const pointer = this.allocate(rules.length * RULE_BYTES, 4);
    for (const [index, rule] of rules.entries()) {
      const fields = this.#fields(rule);
      this.#memory.setU32(pointer + index * RULE_BYTES, fields);
      this.#memory.setU32(pointer + index * RULE_BYTES + 4, rule.length);
    }
    return pointer;
  }

  #fields(rule: PluginRule): number {
    const pointer = this.allocate(rule.length * RULE_FIELD_BYTES, 4);
    for (const [index, { key, value, pattern }] of rule.entries()) {
      const at = pointer + index * RULE_FIELD_BYTES;
      this.#list(at, encoder.encode(key));
      this.#list(at + 8, encoder.encode(value));
      const tag = pattern.kind === "literal" ? 0 : pattern.kind === "automaton" ? 1 : 2;
      this.#memory.setU32(at + 16, tag);
      if (pattern.kind === "automaton") this.#list(at + 20, pattern.table);
      else this.#memory.setU32(at + 20, pattern.kind === "handle" ? pattern.handle : 0);
    }
    return pointer;
  }

  #list(at: number, source: Uint8Array): void {
    const pointer = this.bytes(source);
    this.#memory.setU32(at, pointer);
    this.#memory.setU32(at + 4, source.length);
  }
}

/** A copy of the `list<u8>` whose pointer and length lie at `at`. */
export function liftBytes(memory: GuestMemory, at: number, bytesMax: number): Uint8Array {
  const pointer = memory.u32(at);
  const length = memory.u32(at + 4);
  memory.check(pointer, length, 1, 1);
  if (length > bytesMax) throw contractFault(`${length} bytes, limit ${bytesMax}`);
  return memory.bytes.slice(pointer, pointer + length);
}

/** The string whose pointer and length lie at `at`, cut to MESSAGE_BYTES_MAX. */
export function liftString(memory: GuestMemory, at: number): string {
  const pointer = memory.u32(at);
  const length = memory.u32(at + 4);
  memory.check(pointer, length, 1, 1);
  return decodeText(memory, pointer, Math.min(length, MESSAGE_BYTES_MAX));
}

/** UTF-8 to text; bytes that are none become U+FFFD. */
export function decodeText(memory: GuestMemory, pointer: number, length: number): string {
  return decoder.decode(memory.bytes.slice(pointer, pointer + length));
}
