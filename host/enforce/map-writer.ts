/**
 * Knows which rows each endpoint's map in the kernel holds and brings it to those wanted: in place
 * if that is safe and small, else as a whole. A policy with more entries than a map holds is never
 * written in part: the endpoint keeps its last map, or is locked down if the node says so, and the
 * overflow is told.
 */
import { POLICY_ENTRIES_MAX } from "../datapath/policy-map.ts";
import type { PolicyRows } from "../datapath/policy-rows.ts";
import type { EndpointPlan, KernelSide, Overflow, PolicyContent } from "./types.ts";

export interface MapWriterOptions {
  /** An endpoint whose policy does not fit is closed until it does. */
  lockdownOnOverflow: boolean;
}

interface Held {
  content: PolicyContent;
  version: number;
  ruleSets: ReadonlySet<number>;
}

/** Maps that are filled at once: the kernel works on one while the next is packed. */
const WRITERS_MAX = 3;

const NO_ROWS: PolicyRows = { keys: new Uint8Array(), values: new Uint8Array(), count: 0 };

export class MapWriter {
  readonly #kernel: Pick<KernelSide, "replacePolicy" | "changePolicy">;
  readonly #options: MapWriterOptions;
  readonly #held = new Map<number, Held>();
  readonly #overflows = new Map<number, Overflow>();
  /** Endpoints whose map is empty because their policy does not fit. */
  readonly #locked = new Set<number>();

  constructor(
    kernel: Pick<KernelSide, "replacePolicy" | "changePolicy">,
    options: MapWriterOptions,
  ) {
    this.#kernel = kernel;
    this.#options = options;
  }

  /** Endpoints that do not have the policy they should have. */
  get overflows(): Overflow[] {
    return [...this.#overflows.values()];
  }

  /** Whether the endpoint has the policy that the last plan had for it. */
  isCurrent(endpoint: number): boolean {
    return this.#held.has(endpoint) && !this.#overflows.has(endpoint);
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
    const waiting = plan[Symbol.iterator]();
    const errors: unknown[] = [];
    const work = async (): Promise<void> => {
      for (const one of waiting) {
        if (errors.length > 0) return;
        try {
          if (await this.#writeOne(one)) changed.push(one.endpoint);
        } catch (error) {
          changed.push(one.endpoint);
          errors.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: WRITERS_MAX }, work));
    // Those that were not reached are known by their version, which no change starts from any more.
    for (const content of new Set(plan.map((one) => one.content))) content.settle();
    if (errors.length > 0) throw errors[0];
  }

  forget(endpoint: number): void {
    this.#held.delete(endpoint);
    this.#overflows.delete(endpoint);
    this.#locked.delete(endpoint);
  }

  /** Whether the map was touched. */
  async #writeOne({ endpoint, content, ruleSets }: EndpointPlan): Promise<boolean> {
    const { version, count } = content;
    if (count > POLICY_ENTRIES_MAX) return this.#overflow(endpoint, count);
    this.#overflows.delete(endpoint);
    const held = this.#held.get(endpoint);
    const isHeld = held?.content === content && !this.#locked.has(endpoint);
    if (isHeld && held.version === version) return false;
    const change = isHeld ? content.changeFrom(held.version) : undefined;
    if (change && change.upserts.count + change.deletes.count === 0) {
      this.#held.set(endpoint, { content, version, ruleSets });
      return false;
    }
    // If this fails nobody knows what the map holds: the next try writes the whole.
    if (change) {
      this.#held.delete(endpoint);
      this.#kernel.changePolicy(endpoint, change);
    } else await this.#kernel.replacePolicy(endpoint, content.pack());
    this.#locked.delete(endpoint);
    this.#held.set(endpoint, { content, version, ruleSets });
    return true;
  }

  async #overflow(endpoint: number, entries: number): Promise<boolean> {
    const isLockedDown = this.#options.lockdownOnOverflow;
    const entriesMax = POLICY_ENTRIES_MAX;
    this.#overflows.set(endpoint, { endpoint, entries, entriesMax, isLockedDown });
    if (!isLockedDown || this.#locked.has(endpoint)) return false;
    await this.#kernel.replacePolicy(endpoint, NO_ROWS);
    this.#locked.add(endpoint);
    return true;
  }
}
