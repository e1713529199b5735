/**
 * For tests: core modules of random structured code that always ends. Branches go forward, loops
 * count in a local of their own, calls go to functions of lower number or down a counted recursion.
 * The module has the shape meterModule() wants: realloc, on-data and `run`.
 */
import fc from "fast-check";
import { ByteWriter } from "./binary.ts";
import { OP } from "./opcodes.ts";

/** Functions 0 and 1 are realloc and on-data; 2 is a counted recursion; generated ones follow. */
export const REALLOC = 0;
export const ON_DATA = 1;
const RECURSION = 2;
const FIRST_GENERATED = 3;
/** Two parameters, two scratch locals, then a counter for each nesting depth. */
const VALUE_LOCALS = 4;
const COUNTERS = 6;

export type Expression =
  | { kind: "const"; value: number }
  | { kind: "local"; index: number }
  | { kind: "binary"; op: number; left: Expression; right: Expression }
  | { kind: "load"; at: Expression }
  | { kind: "call"; callee: number; left: Expression; right: Expression }
  | { kind: "size" };

export type Statement =
  | { kind: "set"; index: number; value: Expression }
  | { kind: "store"; at: Expression; value: Expression }
  | { kind: "if"; condition: Expression; then: Statement[]; otherwise: Statement[] | undefined }
  | { kind: "block"; body: Statement[] }
  | { kind: "loop"; times: number; body: Statement[] }
  | { kind: "break"; depth: number; condition: Expression | undefined; value: Expression }
  | { kind: "table"; depths: number[]; index: Expression; value: Expression }
  | { kind: "return"; value: Expression }
  | { kind: "fill"; at: Expression; length: Expression }
  | { kind: "copy"; to: Expression; from: Expression; length: Expression }
  | { kind: "grow" };

export interface Program {
  functions: { body: Statement[]; result: Expression }[];
}

const BINARY = [0x46, 0x48, 0x4b, 0x6a, 0x6b, 0x6c, 0x6e, 0x70, 0x71, 0x72, 0x73, 0x74, 0x76];

const { expression, statements } = fc.letrec<{
  expression: Expression;
  statement: Statement;
  statements: Statement[];
}>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.record({ kind: fc.constant("const"), value: fc.integer({ min: -300, max: 300 }) }),
    fc.record({ kind: fc.constant("local"), index: fc.nat(VALUE_LOCALS - 1) }),
    fc.record({
      kind: fc.constant("binary"),
      op: fc.constantFrom(...BINARY),
      left: tie("expression"),
      right: tie("expression"),
    }),
    fc.record({ kind: fc.constant("load"), at: tie("expression") }),
    fc.record({
      kind: fc.constant("call"),
      callee: fc.nat(8),
      left: tie("expression"),
      right: tie("expression"),
    }),
    fc.record({ kind: fc.constant("size") }),
  ) as fc.Arbitrary<Expression>,
  statement: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({
      kind: fc.constant("set"),
      index: fc.nat(VALUE_LOCALS - 1),
      value: tie("expression"),
    }),
    fc.record({ kind: fc.constant("store"), at: tie("expression"), value: tie("expression") }),
    fc.record({
      kind: fc.constant("fill"),
      at: tie("expression"),
      length: tie("expression"),
    }),
    fc.record({
      kind: fc.constant("copy"),
      to: tie("expression"),
      from: tie("expression"),
      length: tie("expression"),
    }),
    fc.record({ kind: fc.constant("grow") }),
    fc.record({ kind: fc.constant("return"), value: tie("expression") }),
    fc.record({
      kind: fc.constant("break"),
      depth: fc.nat(6),
      condition: fc.option(tie("expression"), { nil: undefined, freq: 4 }),
      value: tie("expression"),
    }),
    fc.record({
      kind: fc.constant("table"),
      depths: fc.array(fc.nat(6), { minLength: 1, maxLength: 4 }),
      index: tie("expression"),
      value: tie("expression"),
    }),
    fc.record({
      kind: fc.constant("if"),
      condition: tie("expression"),
      // biome-ignore lint/suspicious/noThenProperty: the word of the format; never awaited.
      then: tie("statements"),
      otherwise: fc.option(tie("statements"), { nil: undefined }),
    }),
    fc.record({ kind: fc.constant("block"), body: tie("statements") }),
    fc.record({
      kind: fc.constant("loop"),
      times: fc.integer({ min: 1, max: 5 }),
      body: tie("statements"),
    }),
  ) as fc.Arbitrary<Statement>,
  statements: fc.array(tie("statement"), { maxLength: 4 }),
}));

export const program: fc.Arbitrary<Program> = fc.record({
  functions: fc.array(fc.record({ body: statements, result: expression }), {
    minLength: 1,
    maxLength: 4,
  }),
});

class FunctionWriter {
  readonly #out: ByteWriter;
  readonly #number: number;
  /** Labels from the outside in: whether a branch there is forward. The first is the function. */
  readonly #labels: boolean[] = [true];
  #loops = 0;

  constructor(out: ByteWriter, number: number) {
    this.#out = out;
    this.#number = number;
  }

  statements(list: readonly Statement[]): void {
    for (const statement of list) this.#statement(statement);
  }

  expression(value: Expression): void {
    const out = this.#out;
    switch (value.kind) {
      case "const":
        out.u8(OP.i32Const).s32(value.value);
        break;
      case "local":
        out.u8(OP.localGet).u32(value.index);
        break;
      case "binary":
        this.expression(value.left);
        this.expression(value.right);
        out.u8(value.op);
        break;
      case "load":
        this.#address(value.at);
        out.u8(0x28, 0, 0);
        break;
      case "size":
        out.u8(0x3f, 0);
        break;
      case "call": {
        this.expression(value.left);
        this.expression(value.right);
        const below = this.#number - RECURSION;
        out.u8(OP.call).u32(RECURSION + (value.callee % below));
        break;
      }
    }
  }

  /** Mostly inside memory, so that traps are the exception. */
  #address(value: Expression): void {
    this.expression(value);
    this.#out.u8(OP.i32Const).s32(0x1fff).u8(0x71);
  }

  #block(op: number, forward: boolean, body: readonly Statement[]): void {
    this.#out.u8(op, 0x40);
    this.#labels.push(forward);
    this.statements(body);
  }

  #end(): void {
    this.#labels.pop();
    this.#out.u8(OP.end);
  }

  /** The nearest forward label at or beyond `depth`, as a relative depth. */
  #forward(depth: number): number {
    const from = Math.max(this.#labels.length - 1 - depth, 0);
    return this.#labels.length - 1 - this.#labels.lastIndexOf(true, from);
  }

  #statement(statement: Statement): void {
    const out = this.#out;
    switch (statement.kind) {
      case "set":
        this.expression(statement.value);
        out.u8(OP.localSet).u32(statement.index);
        break;
      case "store":
        this.#address(statement.at);
        this.expression(statement.value);
        out.u8(0x36, 0, 0);
        break;
      case "fill":
        this.#address(statement.at);
        this.expression(statement.at);
        this.#address(statement.length);
        out.u8(OP.prefixFc, 11, 0);
        break;
      case "copy":
        this.#address(statement.to);
        this.#address(statement.from);
        this.#address(statement.length);
        out.u8(OP.prefixFc, 10, 0, 0);
        break;
      case "grow":
        out.u8(OP.i32Const, 1, OP.memoryGrow, 0, OP.localSet, 2);
        break;
      case "return":
        this.expression(statement.value);
        out.u8(OP.return);
        break;
      default:
        this.#control(statement);
    }
  }

  #control(statement: Statement): void {
    const out = this.#out;
    if (statement.kind === "if") {
      this.expression(statement.condition);
      this.#block(OP.if, true, statement.then);
      if (statement.otherwise) {
        out.u8(OP.else);
        this.statements(statement.otherwise);
      }
      this.#end();
    } else if (statement.kind === "block") {
      this.#block(OP.block, true, statement.body);
      this.#end();
    } else if (statement.kind === "loop") {
      if (this.#loops >= COUNTERS) return;
      const counter = VALUE_LOCALS + this.#loops;
      this.#loops += 1;
      out.u8(OP.i32Const).s32(statement.times).u8(OP.localSet).u32(counter);
      this.#block(OP.loop, false, statement.body);
      out.u8(OP.localGet).u32(counter).u8(OP.i32Const, 1, OP.i32Sub, OP.localTee).u32(counter);
      out.u8(OP.brIf, 0);
      this.#end();
      this.#loops -= 1;
    } else if (statement.kind === "break") {
      const depth = this.#forward(statement.depth);
      const valued = depth === this.#labels.length - 1;
      if (valued) this.expression(statement.value);
      if (statement.condition) this.expression(statement.condition);
      out.u8(statement.condition ? OP.brIf : OP.br).u32(depth);
      if (valued && statement.condition) out.u8(OP.drop);
    } else if (statement.kind === "table") {
      this.#table(statement.depths, statement.index, statement.value);
    }
  }

  /** All targets of a table carry the same number of values: the function's label, or none. */
  #table(wanted: number[], index: Expression, value: Expression): void {
    const depths = wanted.map((depth) => this.#forward(depth));
    const outermost = this.#labels.length - 1;
    const valued = depths[0] === outermost;
    const targets = depths.filter((depth) => (depth === outermost) === valued);
    if (valued) this.expression(value);
    this.expression(index);
    this.#out.u8(OP.brTable).u32(targets.length - 1);
    for (const depth of targets) this.#out.u32(depth);
  }
}

const I32 = 0x7f;

/** The binary of a program. */
export function assemble({ functions }: Program): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter();
  out.u8(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
  out.section(1, (section) => {
    section.u8(3, 0x60, 4, I32, I32, I32, I32, 1, I32);
    section.u8(0x60, 6, I32, I32, I32, I32, I32, 0x7e, 1, I32, 0x60, 2, I32, I32, 1, I32);
  });
  out.section(3, (section) => {
    section.u32(functions.length + FIRST_GENERATED).u8(0, 1, 2);
    for (const _ of functions) section.u8(2);
  });
  out.section(5, (section) => section.u8(1, 1, 1, 4));
  out.section(7, (section) => {
    const last = functions.length + FIRST_GENERATED - 1;
    section.u8(2).name("run").u8(0).u32(last).name("memory").u8(2, 0);
  });
  out.section(10, (section) => {
    section.u32(functions.length + FIRST_GENERATED);
    section.sized((body) => body.u8(0, OP.localGet, 3, OP.end));
    section.sized((body) => body.u8(0, OP.localGet, 2, OP.end));
    section.sized((body) => writeRecursion(body));
    for (const [index, { body, result }] of functions.entries()) {
      section.sized((code) => {
        code
          .u8(1)
          .u32(VALUE_LOCALS - 2 + COUNTERS)
          .u8(I32);
        const writer = new FunctionWriter(code, FIRST_GENERATED + index);
        writer.statements(body);
        writer.expression(result);
        code.u8(OP.end);
      });
    }
  });
  return out.bytes().slice() as Uint8Array<ArrayBuffer>;
}

/** f(n, x) = n & 15 ? f((n & 15) - 1, x + n) : x. */
function writeRecursion(body: ByteWriter): void {
  body.u8(0, OP.localGet, 0, OP.i32Const, 15, 0x71, OP.localTee, 0, OP.if, I32);
  body.u8(OP.localGet, 0, OP.i32Const, 1, OP.i32Sub);
  body.u8(OP.localGet, 1, OP.localGet, 0, OP.i32Add, OP.call, RECURSION);
  body.u8(OP.else, OP.localGet, 1, OP.end, OP.end);
}
