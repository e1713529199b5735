/**
 * Knows which rows each endpoint's map in the kernel holds and brings it to those wanted: in place
 * if that is safe and small, else as a whole. A policy with more entries than a map holds is never
 * written in part: the endpoint keeps its last map, or is locked down if the node says so, and the
 * overflow is told.
 */
import { ENDPOINT_HOST } from "../datapath/layout.ts";
import { type PolicyRows, RowPacker } from "../datapath/policy-rows.ts";
import type { PolicyPlacement } from "../datapath/policy-writer.ts";
import type { EndpointPlan, KernelSide, Overflow, PolicyContent } from "./types.ts";

export interface MapWriterOptions {
  /** An endpoint whose policy does not fit is closed until it does. */
  lockdownOnOverflow: boolean;
  /** Entries that a map holds. */
  entriesMax: number;
}

interface Held {
  lineage: object;
  version: number;
  ruleSets: ReadonlySet<number>;
}

/** Maps that are written at once: the kernel works on some while the next is packed. */
const WRITERS_MAX = 3;
/** Filled maps that wait to be put in place together: file descriptors, and twice the memory. */
const PLACEMENTS_MAX = 256;

const NO_ROWS: PolicyRows = { keys: new Uint8Array(), values: new Uint8Array(), count: 0 };

type MapKernel = Pick<KernelSide, "fillPolicy" | "placePolicies" | "changePolicy" | "removePolicy">;

/** A map that is to be replaced as a whole. */
interface Replacement {
  endpoint: number;
  /** Undefined: by an empty one. */
  by: { content: PolicyContent; held: Held } | undefined;
}

/** Maps that are filled with the same rows one after the other; more are shared out. */
const FILLS_MAX = 8;

export class MapWriter {
  readonly #kernel: MapKernel;
  readonly #options: MapWriterOptions;
  readonly #held = new Map<number, Held>();
  readonly #overflows = new Map<number, Overflow>();
  /** Endpoints whose map is empty because their policy does not fit. */
  readonly #locked = new Set<number>();
  /** Endpoints that have no map. */
  readonly #unpoliced = new Set<number>();

  constructor(kernel: MapKernel, options: MapWriterOptions) {
    this.#kernel = kernel;
    this.#options = options;
  }

  /** Endpoints that do not have the policy they should have. */
  get overflows(): Overflow[] {
    return [...this.#overflows.values()];
  }

  /** Whether the endpoint has the policy that the last plan had for it. */
  isCurrent(endpoint: number): boolean {
    if (this.#overflows.has(endpoint)) return false;
    return this.#held.has(endpoint) || this.#unpoliced.has(endpoint);
  }

  /** Rule sets that maps name which are not part of the plan: they were left as they are. */
  keptRuleSets(plan: readonly EndpointPlan[]): Set<number> {
    const written = new Set(plan.map(({ endpoint }) => endpoint));
    const kept = new Set<number>();
    for (const [endpoint, { ruleSets }] of this.#held) {
      if (written.has(endpoint) && !this.#overflows.has(endpoint)) continue;
      for (const number of ruleSets) kept.add(number);
    }
    return kept;
  }

  /**
   * Brings all maps to their content; `changed` gets the endpoint of each that was touched, also
   * when this throws. Endpoints that are not in the plan keep their map.
   */
  async write(plan: readonly EndpointPlan[], changed: number[]): Promise<void> {
    const replacements: Replacement[] = [];
    const contents = byContent(plan, ({ content }) => content);
    const left = new Map([...contents].map(([content, all]) => [content, all.length]));
    try {
      await together([...contents.values()].flat(), () => async (one) => {
        const replacement = await this.#adapt(one, changed);
        if (replacement) replacements.push(replacement);
        else if (countDown(left, one.content) === 0) one.content.settle();
      });
      for (let from = 0; from < replacements.length; from += PLACEMENTS_MAX) {
        await this.#replace(replacements.slice(from, from + PLACEMENTS_MAX), changed);
      }
    } finally {
      // Maps that were not reached have a version from which no change starts any more.
      for (const content of contents.keys()) content.settle();
    }
  }

  /** Takes the endpoints' maps away; `changed` as with `write`. */
  remove(endpoints: readonly number[], changed: number[]): void {
    for (const endpoint of endpoints) {
      this.#overflows.delete(endpoint);
      if (this.#unpoliced.has(endpoint)) continue;
      this.#kernel.removePolicy(endpoint);
      changed.push(endpoint);
      this.forget(endpoint);
      this.#unpoliced.add(endpoint);
    }
  }

  forget(endpoint: number): void {
    this.#unpoliced.delete(endpoint);
    this.#held.delete(endpoint);
    this.#overflows.delete(endpoint);
    this.#locked.delete(endpoint);
  }

  /** Changes the map in place if that will do; else what must replace it, if anything. */
  async #adapt(
    { endpoint, content, ruleSets }: EndpointPlan,
    changed: number[],
  ): Promise<Replacement | undefined> {
    const { lineage, version, count } = content;
    if (count > this.#options.entriesMax) return this.#overflow(endpoint, count);
    this.#overflows.delete(endpoint);
    const wanted = { lineage, version, ruleSets };
    const held = this.#held.get(endpoint);
    const whole = { endpoint, by: { content, held: wanted } };
    if (held?.lineage !== lineage || this.#locked.has(endpoint)) return whole;
    if (held.version !== version) {
      const change = content.changeFrom(held.version);
      // What is deleted is still there for a moment when the rest has come.
      const fits = change && count + change.deletes.count <= this.#options.entriesMax;
      if (!fits) return whole;
      if (change.upserts.count + change.deletes.count > 0) {
        // If this fails nobody knows what the map holds: the next try replaces it.
        this.#held.delete(endpoint);
        changed.push(endpoint);
        await this.#kernel.changePolicy(endpoint, change);
      }
    }
    this.#held.set(endpoint, wanted);
    return undefined;
  }

  /** Those that could be filled are put in place, also when this throws. */
  async #replace(replacements: readonly Replacement[], changed: number[]): Promise<void> {
    const placements: (PolicyPlacement & Replacement)[] = [];
    const runs = [...byContent(replacements, ({ by }) => by?.content).values()].flatMap(inRuns);
    try {
      await together(runs, () => {
        const buffer = new RowPacker(this.#options.entriesMax);
        return async (run) => {
          const rows = run[0]?.by?.content.pack(buffer) ?? NO_ROWS;
          for (const one of run) {
            placements.push({ ...one, filled: await this.#kernel.fillPolicy(rows) });
          }
        };
      });
    } finally {
      if (placements.length > 0) await this.#kernel.placePolicies(placements);
      for (const { endpoint, by } of placements) {
        changed.push(endpoint);
        this.#unpoliced.delete(endpoint);
        if (by) {
          this.#held.set(endpoint, by.held);
          this.#locked.delete(endpoint);
        } else this.#locked.add(endpoint);
      }
    }
  }

  #overflow(endpoint: number, entries: number): Replacement | undefined {
    // A node is never closed by a switch: it would lock its operator out.
    const { lockdownOnOverflow, entriesMax } = this.#options;
    const isLockedDown = lockdownOnOverflow && endpoint !== ENDPOINT_HOST;
    this.#overflows.set(endpoint, { endpoint, entries, entriesMax, isLockedDown });
    return isLockedDown && !this.#locked.has(endpoint) ? { endpoint, by: undefined } : undefined;
  }
}

/** In the order in which each content comes first. */
function byContent<T, C extends PolicyContent | undefined>(
  items: readonly T[],
  contentOf: (item: T) => C,
): Map<C, T[]> {
  const all = new Map<C, T[]>();
  for (const item of items) {
    const content = contentOf(item);
    const list = all.get(content);
    if (list) list.push(item);
    else all.set(content, [item]);
  }
  return all;
}

function inRuns<T>(items: readonly T[]): T[][] {
  const count = Math.ceil(items.length / FILLS_MAX);
  return Array.from({ length: count }, (_, run) =>
    items.slice(run * FILLS_MAX, (run + 1) * FILLS_MAX),
  );
}

function countDown<K>(counts: Map<K, number>, key: K): number {
  const count = (counts.get(key) ?? 0) - 1;
  counts.set(key, count);
  return count;
}

/** Each item once, by a few workers at a time. After the first failure no other item is begun. */
async function together<T>(
  items: readonly T[],
  createWorker: () => (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  const failures: unknown[] = [];
  const run = async (): Promise<void> => {
    const work = createWorker();
    for (const item of waiting) {
      if (failures.length > 0) return;
      await work(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(WRITERS_MAX, items.length) }, run));
  if (failures.length > 0) throw failures[0];
}
