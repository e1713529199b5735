/** The types of RESP2 and RESP3 by their first byte, and what they are called in records. */
import type { Memory } from "imker/sdk/memory.ts";
import { TextBlock } from "imker/sdk/text-block.ts";

export const TYPE_SIMPLE: i32 = 43;
export const TYPE_ERROR: i32 = 45;
export const TYPE_INTEGER: i32 = 58;
export const TYPE_ARRAY: i32 = 42;
export const TYPE_NULL: i32 = 95;
export const TYPE_MAP: i32 = 37;
export const TYPE_PUSH: i32 = 62;

/** There is no such type. */
export const SHAPE_NONE: i32 = 0;
/** An element that is one line of text. */
export const SHAPE_LINE: i32 = 1;
/** A length, and so many bytes. */
export const SHAPE_BULK: i32 = 2;
/** A number of elements that follow. */
export const SHAPE_ELEMENTS: i32 = 3;
/** A number of pairs of elements. */
export const SHAPE_PAIRS: i32 = 4;
/** Pairs, and then the element that they say something about. */
export const SHAPE_ATTRIBUTE: i32 = 5;

/** First byte, shape, name. */
const TYPES: string[] = [
  "+1simple",
  "-1error",
  ":1integer",
  "_1null",
  "#1boolean",
  ",1double",
  "(1bignumber",
  "$2bulk",
  "=2verbatim",
  "!2error",
  "*3array",
  "~3set",
  ">3push",
  "%4map",
  "|5attribute",
];
const BYTES: i32 = 128;

export class ReplyTypes {
  private readonly shapes: i32[] = [];
  private readonly names: TextBlock[] = [];

  constructor(memory: Memory) {
    const none = new TextBlock(memory, "?");
    for (let i = 0; i < BYTES; i++) {
      this.shapes.push(SHAPE_NONE);
      this.names.push(none);
    }
    for (let i = 0; i < TYPES.length; i++) {
      const text = TYPES[i] as string;
      const byte = text.charCodeAt(0) as i32;
      this.shapes[byte] = (text.charCodeAt(1) as i32) - 48;
      this.names[byte] = new TextBlock(memory, text.substring(2));
    }
  }

  /** SHAPE_… of a type by its first byte. */
  shape(type: i32): i32 {
    return type < BYTES ? (this.shapes[type] as i32) : SHAPE_NONE;
  }

  /** What records call a type that has a shape. */
  name(type: i32): TextBlock {
    return this.names[type] as TextBlock;
  }
}
