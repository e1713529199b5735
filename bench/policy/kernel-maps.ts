/**
 * The real policy maps without a node around them: the datapath's object loaded, nothing attached
 * or pinned. Counts the rows that are written.
 */
import { join } from "node:path";
import type { PolicyChange, PolicyRows } from "../../host/datapath/policy-rows.ts";
import {
  changePolicy,
  type FilledPolicy,
  fillPolicy,
  type PolicyPlacement,
  placePolicies,
} from "../../host/datapath/policy-writer.ts";
import type { KernelSide } from "../../host/enforce/types.ts";
import { type BpfObject, loadNative, type Native } from "../../host/native/index.ts";

export class KernelMaps implements KernelSide {
  readonly #native: Native = loadNative();
  readonly #object: BpfObject;
  readonly #policies: number;
  /** Rows of whole maps, and rows changed in place, since `takeRows`. */
  #rows = { replaced: 0, changed: 0 };

  constructor(root: string) {
    this.#object = new this.#native.BpfObject(join(root, ".build", "bpf", "pod.o"));
    this.#object.load();
    this.#policies = this.#object.mapFd("policies");
  }

  fillPolicy(rows: PolicyRows): Promise<FilledPolicy> {
    this.#rows.replaced += rows.count;
    return fillPolicy(this.#native, rows);
  }

  placePolicies(placements: readonly PolicyPlacement[]): Promise<void> {
    return placePolicies(this.#native, this.#policies, placements);
  }

  async changePolicy(endpoint: number, change: PolicyChange): Promise<void> {
    await changePolicy(this.#native, this.#policies, endpoint, change);
    this.#rows.changed += change.upserts.count + change.deletes.count;
  }

  removePolicy(): void {}

  bumpEpoch(): void {}

  takeRows(): { replaced: number; changed: number } {
    const rows = this.#rows;
    this.#rows = { replaced: 0, changed: 0 };
    return rows;
  }

  close(): void {
    this.#object.close();
  }
}
