/**
 * A constant text in the plugin's memory: an answer to inject, a value for a record. Made once,
 * when the plugin starts, and never given back.
 */
import type { Memory } from "./memory.ts";

export class TextBlock {
  /** Address of the first byte. */
  readonly address: i32;
  /** Bytes. */
  readonly length: i32;

  constructor(memory: Memory, text: string) {
    this.length = memory.textBytes(text);
    this.address = memory.allocate(this.length);
    memory.setText(this.address, text);
  }
}
