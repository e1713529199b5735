/**
 * The fast half of the canonical ABI for world l7-plugin: the operations a call returned and the
 * records it emits, decoded from guest memory into arrays made once. Layouts follow from l7.wit by
 * the Component Model's CanonicalABI.md ("Alignment", "Element Size"): an operation is a tag at 0
 * and a payload at 8, 24 bytes; a field is a key at 0, a tag at 8 and a payload at 16, 24 bytes.
 */
import type { GuestMemory } from "./guest-memory.ts";
import { contractFault } from "./guest-memory.ts";
import type { Operations, RecordView } from "./types.ts";
import { CLOSE_REASON, OPERATION, OPERATIONS_MAX } from "./types.ts";

const OPERATION_BYTES = 24;
const FIELD_BYTES = 24;
/** Fields of one record, as many as a manifest can name. */
export const FIELDS_MAX = 256;
/** Bytes of a call's injections that outlive its post-return; a worker refuses more. */
const INJECTED_BYTES_MAX = 65_536;
const HIGH_SAFE = 0x1f_ffff;

export function createOperations(memory: GuestMemory): Operations {
  return {
    count: 0,
    kind: new Uint8Array(OPERATIONS_MAX),
    n: new Float64Array(OPERATIONS_MAX),
    direction: new Uint8Array(OPERATIONS_MAX),
    start: new Uint32Array(OPERATIONS_MAX),
    length: new Uint32Array(OPERATIONS_MAX),
    memory: memory.bytes,
  };
}

export function createRecordView(memory: GuestMemory): RecordView {
  return {
    connection: 0,
    kind: 0,
    verdict: 0,
    stage: 0,
    exchange: 0,
    fieldCount: 0,
    memory: memory.bytes,
    key: new Uint16Array(FIELDS_MAX),
    isNumber: new Uint8Array(FIELDS_MAX),
    start: new Uint32Array(FIELDS_MAX),
    length: new Uint32Array(FIELDS_MAX),
    number: new Float64Array(FIELDS_MAX),
  };
}

/**
 * A u64 as a number. Lengths above 2^53-1 reach past any connection and come out as 2^53-1: they
 * may well stem from hostile bytes (Content-Length), so they must not cost the instance.
 */
function safeLength(memory: GuestMemory, pointer: number): number {
  const high = memory.u32(pointer + 4);
  if (high > HIGH_SAFE) return Number.MAX_SAFE_INTEGER;
  return high * 0x1_0000_0000 + memory.u32(pointer);
}

/** Decodes the `list<operation>` whose pointer and length lie at `result`. */
export function liftOperations(memory: GuestMemory, result: number, into: Operations): void {
  into.count = 0;
  memory.check(result, 1, 8, 4);
  const list = memory.u32(result);
  const count = memory.u32(result + 4);
  if (count > OPERATIONS_MAX) {
    throw contractFault(`${count} operations, limit ${OPERATIONS_MAX}`);
  }
  memory.check(list, count, OPERATION_BYTES, 8);
  for (let index = 0; index < count; index += 1) {
    const at = list + index * OPERATION_BYTES;
    const kind = memory.u8(at);
    into.kind[index] = kind;
    if (kind <= OPERATION.drop) into.n[index] = safeLength(memory, at + 8);
    else if (kind === OPERATION.inject) liftInjection(memory, at + 8, into, index);
    else if (kind === OPERATION.close) {
      const reason = memory.u8(at + 8);
      if (reason > CLOSE_REASON.malformed) throw contractFault(`close reason ${reason}`);
      into.n[index] = reason;
    } else if (kind > OPERATION.close) throw contractFault(`operation ${kind}`);
  }
  into.memory = memory.bytes;
  into.count = count;
}

function liftInjection(memory: GuestMemory, at: number, into: Operations, index: number): void {
  const direction = memory.u8(at);
  if (direction > 1) throw contractFault(`injection direction ${direction}`);
  const start = memory.u32(at + 4);
  const length = memory.u32(at + 8);
  memory.check(start, length, 1, 1);
  into.direction[index] = direction;
  into.start[index] = start;
  into.length[index] = length;
}

/**
 * Copies what a call injects out of guest memory into `kept`, because a post-return may give that
 * memory back. A list that injects more than fits is left as it is: nobody carries it out.
 * @returns the buffer to use next time, which `operations` may refer to until then.
 */
export function keepInjections(operations: Operations, kept: Uint8Array): Uint8Array {
  let total = 0;
  for (let index = 0; index < operations.count; index += 1) {
    if (operations.kind[index] === OPERATION.inject) total += operations.length[index] ?? 0;
  }
  if (total === 0 || total > INJECTED_BYTES_MAX) return kept;
  const target = kept.length >= total ? kept : new Uint8Array(Math.max(total, 2 * kept.length));
  let at = 0;
  for (let index = 0; index < operations.count; index += 1) {
    if (operations.kind[index] !== OPERATION.inject) continue;
    const start = operations.start[index] ?? 0;
    const length = operations.length[index] ?? 0;
    target.set(operations.memory.subarray(start, start + length), at);
    operations.start[index] = at;
    at += length;
  }
  operations.memory = target;
  return target;
}

/** Where the `data` of the current call lies: what spans are relative to. */
export interface DataRange {
  pointer: number;
  length: number;
}

/** Decodes `count` fields at `list`; keys must be below `keyCount`. */
export function liftFields(
  memory: GuestMemory,
  list: number,
  count: number,
  keyCount: number,
  data: DataRange,
  into: RecordView,
): void {
  if (count > FIELDS_MAX) throw contractFault(`record of ${count} fields, limit ${FIELDS_MAX}`);
  memory.check(list, count, FIELD_BYTES, 8);
  for (let index = 0; index < count; index += 1) {
    const at = list + index * FIELD_BYTES;
    const key = memory.u32(at) & 0xffff;
    if (key >= keyCount) throw contractFault(`field key ${key}, the manifest names ${keyCount}`);
    into.key[index] = key;
    const tag = memory.u8(at + 8);
    const first = memory.u32(at + 16);
    const second = memory.u32(at + 20);
    if (tag === 1) {
      into.isNumber[index] = 1;
      into.number[index] = second * 0x1_0000_0000 + first;
      continue;
    }
    if (tag > 2) throw contractFault(`field value ${tag}`);
    into.isNumber[index] = 0;
    into.length[index] = second;
    if (tag === 0) {
      if (first + second > data.length) {
        throw contractFault(`span ${first}+${second} of ${data.length} bytes`);
      }
      into.start[index] = data.pointer + first;
    } else {
      memory.check(first, second, 1, 1);
      into.start[index] = first;
    }
  }
  into.fieldCount = count;
  into.memory = memory.bytes;
}
