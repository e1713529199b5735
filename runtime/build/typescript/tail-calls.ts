/**
 * Tail calls as plain calls. The interpreter is compiled with them; the sandbox charges stack and
 * fuel for each call and so knows calls that return only. The stack they would have saved is
 * bounded there like any other.
 */
import { type ByteReader, ByteWriter } from "../../isolate/binary.ts";
import { type Instruction, OP, readInstruction, readValueType } from "../../isolate/opcodes.ts";
import { sectionsOf } from "./core-modules.ts";

const CODE = 10;
const RETURN_CALL = 0x12;
const RETURN_CALL_INDIRECT = 0x13;
const PREAMBLE_BYTES = 8;

/** The module without tail calls. */
export function lowerTailCalls(module: Uint8Array): Uint8Array {
  const out = new ByteWriter(module.length + 65_536).raw(module, 0, PREAMBLE_BYTES);
  for (const { id, start, contents } of sectionsOf(module)) {
    if (id !== CODE) {
      out.raw(module, start, contents.end);
      continue;
    }
    out.section(id, (section) => {
      const count = contents.u32();
      section.u32(count);
      for (let index = 0; index < count; index++) {
        const body = contents.slice(contents.u32(), `function body ${index}`);
        section.sized((writer) => lowerBody(body, writer));
      }
    });
  }
  return out.bytes().slice();
}

function lowerBody(body: ByteReader, out: ByteWriter): void {
  const instruction: Instruction = { op: 0, index: 0, targets: [] };
  let copied = body.offset;
  body.vector(() => {
    body.u32();
    readValueType(body);
  });
  while (!body.done) {
    const at = body.offset;
    const op = body.bytes[at];
    if (op !== RETURN_CALL && op !== RETURN_CALL_INDIRECT) {
      readInstruction(body, instruction);
      continue;
    }
    body.skip(1);
    body.u32();
    if (op === RETURN_CALL_INDIRECT) body.u32();
    out.raw(body.bytes, copied, at).u8(op === RETURN_CALL ? OP.call : OP.callIndirect);
    out.raw(body.bytes, at + 1, body.offset).u8(OP.return);
    copied = body.offset;
  }
  out.raw(body.bytes, copied, body.end);
}
