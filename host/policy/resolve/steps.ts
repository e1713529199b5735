/**
 * Finds which groups each of many identities is in, group by group: identities with the same groups
 * so far share one step. One object serves all policies in turn, so that a change that moves every
 * identity in a hundred policies does not make a hundred tables of them.
 */
import type { PeerGroup } from "./contribution.ts";

export interface Group extends PeerGroup {
  /** Of its own among all policies'; another one when what it says changes. */
  serial: number;
}

interface Step {
  /** The serial numbers of the groups. */
  key: string;
  groups: readonly Group[];
  next: Map<Group, Step>;
}

/** Numbers are dense in a few ranges (host/identity/reserved.ts). */
const PAGE_BITS = 10;
const PAGE_MASK = (1 << PAGE_BITS) - 1;

export class Steps {
  readonly #pages = new Map<number, (Step | undefined)[]>();
  #lastSerial = 0;

  group(group: PeerGroup): Group {
    return { ...group, serial: ++this.#lastSerial };
  }

  /**
   * `visit` gets every identity with the groups it is in, in their order, and a key that is equal
   * for equal groups; "" for none. It must not call `walk`.
   */
  walk(
    identities: ReadonlySet<number>,
    groups: readonly Group[],
    visit: (identity: number, key: string, groups: readonly Group[]) => void,
  ): void {
    const root: Step = { key: "", groups: [], next: new Map() };
    for (const group of groups) {
      const [fewer, more] =
        identities.size < group.identities.size
          ? [identities, group.identities]
          : [group.identities, identities];
      // Without an object for each step of an iterator: there may be a million of them.
      fewer.forEach((identity) => {
        if (more.has(identity)) this.#advance(identity, group, root);
      });
    }
    try {
      identities.forEach((identity) => {
        const { key, groups: found } = this.#page(identity)[identity & PAGE_MASK] ?? root;
        visit(identity, key, found);
      });
    } finally {
      identities.forEach((identity) => {
        this.#page(identity)[identity & PAGE_MASK] = undefined;
      });
    }
  }

  #advance(identity: number, group: Group, root: Step): void {
    const page = this.#page(identity);
    const from = page[identity & PAGE_MASK] ?? root;
    let step = from.next.get(group);
    if (!step) {
      const key = from.key === "" ? `${group.serial}` : `${from.key},${group.serial}`;
      step = { key, groups: [...from.groups, group], next: new Map() };
      from.next.set(group, step);
    }
    page[identity & PAGE_MASK] = step;
  }

  #page(identity: number): (Step | undefined)[] {
    const number = identity >>> PAGE_BITS;
    let page = this.#pages.get(number);
    if (!page) {
      page = new Array<Step | undefined>(PAGE_MASK + 1).fill(undefined);
      this.#pages.set(number, page);
    }
    return page;
  }
}
