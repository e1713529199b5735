/** What the allocator asks of a range of numbers, and what it is told of it. */
import type { Identity } from "../policy/types.ts";

/** Identities that came or went, in the order in which it happened. */
export interface IdentityChange {
  added: readonly Identity[];
  removed: readonly number[];
}

/** Nothing can be allocated; the message says why. */
export class IdentityAllocationError extends Error {
  override readonly name = "IdentityAllocationError";
  /** HTTP: it may be possible later, when the store answers or a number is free. */
  readonly status = 503;
}

export interface Numbers {
  /** Takes over what the store holds. */
  start(): Promise<void>;
  /**
   * The number of a label set (its `labelSetKey`), kept for this node until `release`.
   * @throws IdentityAllocationError when there is none to have.
   */
  acquire(key: string): Promise<number>;
  /** This node uses it no more. */
  release(id: number, key: string): Promise<void>;
  get(id: number): Identity | undefined;
  list(): Iterable<Identity>;
  close(): void;
}
