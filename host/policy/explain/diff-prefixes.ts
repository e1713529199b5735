/**
 * Addresses of the world on the two sides of a change: their labels may differ, because a policy
 * names another prefix or a group holds another one. All that have the same labels before and the
 * same after are one peer, with a number that stands for both.
 */
import { cidrLabels, type Prefix, parseAddress } from "../../identity/cidr.ts";
import type { LabelSet, PrefixLabels } from "../../identity/prefix-labels.ts";
import { PrefixMap } from "../../identity/prefix-map.ts";
import { type Candidate, type Selector, selects, toCandidate } from "../selector.ts";
import type { Identity } from "../types.ts";
import { identityText } from "./text.ts";

/** Beyond every real number. */
const HYPOTHETICAL_MIN = 0x7e00_0000;

interface Pair {
  before: Candidate;
  after: Candidate;
  /** They are not the same. */
  differs: boolean;
  prefixes: string[];
}

export class DiffPrefixes {
  readonly #pairs = new Map<number, Pair>();
  readonly #numbers = new PrefixMap<number>();
  readonly #changed = new Map<string, boolean>();

  constructor(before: PrefixLabels, after: PrefixLabels) {
    const numbers = new Map<string, number>();
    for (const side of [before, after]) {
      for (const { text, prefix } of side.all()) {
        if (this.#numbers.get(prefix) !== undefined) continue;
        const [was, is] = [before.at(prefix)?.set, after.at(prefix)?.set];
        const key = `${prefix.family} ${was?.key} ${is?.key}`;
        const number = numbers.get(key) ?? HYPOTHETICAL_MIN + numbers.size;
        numbers.set(key, number);
        this.#numbers.set(prefix, number);
        const known = this.#pairs.get(number);
        if (known) known.prefixes.push(text);
        else this.#pairs.set(number, { ...pairOf(number, prefix, was, is), prefixes: [text] });
      }
    }
  }

  /** All peers, with their labels on one side. */
  identities(side: "before" | "after"): Identity[] {
    return [...this.#pairs.values()].map((pair) => pair[side]);
  }

  /** Some addresses have other labels after than before. */
  get differ(): boolean {
    return this.relabelled().length > 0;
  }

  /** Those with other labels after than before, with these. */
  relabelled(): Identity[] {
    return [...this.#pairs.values()].filter(({ differs }) => differs).map(({ after }) => after);
  }

  /** Of the peer that an address is; undefined: it is of the world and no more on both sides. */
  numberOf(address: string): number | undefined {
    const parsed = parseAddress(address);
    return parsed && this.#numbers.longest(parsed);
  }

  /** For people; undefined: it is none of these. */
  text(number: number): string | undefined {
    const pair = this.#pairs.get(number);
    if (pair === undefined) return undefined;
    if (!pair.differs) return identityText(pair.after);
    const more = pair.prefixes.length - 1;
    return `cidr:${pair.prefixes[0]}${more === 0 ? "" : ` and ${more} more prefixes`}`;
  }

  /** Whether it selects other addresses after than before. */
  changes(selector: Selector): boolean {
    const known =
      this.#changed.get(selector.key) ??
      [...this.#pairs.values()].some(
        ({ before, after, differs }) =>
          differs && selects(selector, before) !== selects(selector, after),
      );
    this.#changed.set(selector.key, known);
    return known;
  }
}

function pairOf(
  id: number,
  { family }: Prefix,
  was: LabelSet | undefined,
  is: LabelSet | undefined,
): Omit<Pair, "prefixes"> {
  const world = cidrLabels({ family, address: 0n, length: 0 });
  return {
    before: toCandidate({ id, labels: was?.labels ?? world }),
    after: toCandidate({ id, labels: is?.labels ?? world }),
    differs: was?.key !== is?.key,
  };
}
