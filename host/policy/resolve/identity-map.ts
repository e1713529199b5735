/**
 * Values by identity number. Numbers are dense in a few ranges (host/identity/reserved.ts), so
 * pages of them take a third of the memory and of the time that a Map takes.
 */

const PAGE_BITS = 4;
const PAGE_SIZE = 1 << PAGE_BITS;
const PAGE_MASK = PAGE_SIZE - 1;

interface Page<T> {
  number: number;
  values: (T | undefined)[];
  used: number;
}

export class IdentityMap<T extends object> {
  readonly #pages = new Map<number, Page<T>>();
  /** Neighbours are mostly asked for one after the other. */
  #last: Page<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(identity: number): T | undefined {
    return this.#find(identity)?.values[identity & PAGE_MASK];
  }

  set(identity: number, value: T): void {
    const page = this.#find(identity) ?? this.#add(identity >>> PAGE_BITS);
    if (page.values[identity & PAGE_MASK] === undefined) {
      page.used++;
      this.#size++;
    }
    page.values[identity & PAGE_MASK] = value;
  }

  delete(identity: number): void {
    const page = this.#find(identity);
    if (page?.values[identity & PAGE_MASK] === undefined) return;
    page.values[identity & PAGE_MASK] = undefined;
    this.#size--;
    if (--page.used > 0) return;
    this.#pages.delete(page.number);
    this.#last = undefined;
  }

  clear(): void {
    this.#pages.clear();
    this.#last = undefined;
    this.#size = 0;
  }

  /** As the iterator, for many. */
  each(visit: (value: T, identity: number) => void): void {
    for (const { number, values } of this.#pages.values()) {
      const first = number * PAGE_SIZE;
      for (let index = 0; index < PAGE_SIZE; index++) {
        const value = values[index];
        if (value !== undefined) visit(value, first + index);
      }
    }
  }

  /** Neighbours one after the other, else in no order that means anything. */
  *[Symbol.iterator](): Generator<[identity: number, value: T]> {
    for (const { number, values } of this.#pages.values()) {
      const first = number * PAGE_SIZE;
      for (let index = 0; index < PAGE_SIZE; index++) {
        const value = values[index];
        if (value !== undefined) yield [first + index, value];
      }
    }
  }

  *keys(): Generator<number> {
    for (const [identity] of this) yield identity;
  }

  /** The same identities with what `change` makes of their values. */
  map(change: (value: T) => T): IdentityMap<T> {
    const copy = new IdentityMap<T>();
    copy.#size = this.#size;
    for (const { number, values, used } of this.#pages.values()) {
      const changed = values.map((value) => (value === undefined ? undefined : change(value)));
      copy.#pages.set(number, { number, values: changed, used });
    }
    return copy;
  }

  #find(identity: number): Page<T> | undefined {
    const number = identity >>> PAGE_BITS;
    if (this.#last?.number === number) return this.#last;
    const page = this.#pages.get(number);
    if (page) this.#last = page;
    return page;
  }

  #add(number: number): Page<T> {
    const values = new Array<T | undefined>(PAGE_SIZE).fill(undefined);
    const page = { number, values, used: 0 };
    this.#pages.set(number, page);
    this.#last = page;
    return page;
  }
}
