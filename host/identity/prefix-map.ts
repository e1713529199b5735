/**
 * Values by address prefix, of both families. Look-ups cost one step for each prefix length that is
 * there: tables of people and of routing know few.
 */
import { maskPrefix, type Prefix } from "./cidr.ts";

interface Level<T> {
  length: number;
  values: Map<bigint, T>;
}

export class PrefixMap<T> {
  /** By family, the longest first. */
  readonly #levels: Record<4 | 6, Level<T>[]> = { 4: [], 6: [] };

  constructor(other?: PrefixMap<T>) {
    if (other === undefined) return;
    for (const family of [4, 6] as const) {
      this.#levels[family] = other.#levels[family].map(({ length, values }) => {
        return { length, values: new Map(values) };
      });
    }
  }

  get({ family, length, address }: Prefix): T | undefined {
    return this.#levels[family].find((one) => one.length === length)?.values.get(address);
  }

  set({ family, length, address }: Prefix, value: T): void {
    const levels = this.#levels[family];
    const known = levels.find((one) => one.length === length);
    if (known !== undefined) {
      known.values.set(address, value);
      return;
    }
    levels.push({ length, values: new Map([[address, value]]) });
    levels.sort((a, b) => b.length - a.length);
  }

  delete({ family, length, address }: Prefix): void {
    const levels = this.#levels[family];
    const level = levels.find((one) => one.length === length);
    level?.values.delete(address);
    if (level?.values.size === 0) levels.splice(levels.indexOf(level), 1);
  }

  /** Of the prefix itself and of those around it, the narrowest first. */
  *covering(inner: Prefix): Generator<T> {
    for (const { length, values } of this.#levels[inner.family]) {
      if (length > inner.length) continue;
      const value = values.get(maskPrefix({ ...inner, length }).address);
      if (value !== undefined) yield value;
    }
  }

  /** Of the narrowest prefix that an address, or a prefix, is in. */
  longest(inner: Prefix): T | undefined {
    for (const value of this.covering(inner)) return value;
    return undefined;
  }

  *values(): Generator<T> {
    for (const levels of Object.values(this.#levels)) {
      for (const { values } of levels) yield* values.values();
    }
  }
}
