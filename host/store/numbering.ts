/**
 * Gives content a small number that stays its own for good: rule sets, patterns and verdict cookies
 * live on in kernel maps and in a proxy that outlives the agent, so a restarted agent must find the
 * same numbers again and must never use one for something else.
 */
import { createHash } from "node:crypto";
import type { Store } from "./store.ts";

const NUMBER_MAX = 0xffff_ffff;

export class Numbering {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #numbers = new Map<string, number>();
  readonly #contents = new Map<number, string>();
  #last = 0;
  /** Given out by `reserve`, not durable yet. */
  #reserved: { key: string; value: string }[] = [];

  /** @param prefix Folder of the store that holds this kind, such as `rule-sets`. */
  constructor(store: Store, prefix: string) {
    this.#store = store;
    this.#prefix = `${prefix}/`;
    for (const row of store.list(this.#prefix)) {
      const { number, content } = JSON.parse(row.value) as { number: number; content: string };
      this.#remember(number, content);
    }
  }

  /** The number of `content`, 1 or higher; a new one is durable before it is returned. */
  numberOf(content: string): number {
    const number = this.reserve(content);
    this.flush();
    return number;
  }

  /** The same, but a new number must not be used for anything that lasts before `flush`. */
  reserve(content: string): number {
    const known = this.#numbers.get(content);
    if (known !== undefined) return known;
    if (this.#last >= NUMBER_MAX) throw new Error(`Cannot number ${this.#prefix}: none is left`);
    const number = this.#last + 1;
    const key = createHash("sha256").update(content).digest("hex");
    this.#reserved.push({ key: this.#prefix + key, value: JSON.stringify({ number, content }) });
    this.#remember(number, content);
    return number;
  }

  /** Makes what was reserved durable, all of it or none; to be tried again if it throws. */
  flush(): void {
    this.#store.putAll(this.#reserved);
    this.#reserved = [];
  }

  contentOf(number: number): string | undefined {
    return this.#contents.get(number);
  }

  #remember(number: number, content: string): void {
    this.#numbers.set(content, number);
    this.#contents.set(number, content);
    this.#last = Math.max(this.#last, number);
  }
}
