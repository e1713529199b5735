/**
 * `node bench/policy/measure.ts SIZE CHANGES`: the control plane's figures, measured in a process
 * of its own, whose memory is then the agent's. Prints them as one line of JSON.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ControlPlane } from "./control-plane.ts";
import { KernelMaps } from "./kernel-maps.ts";
import {
  clusterwideText,
  everybodyText,
  namespaceOf,
  podOf,
  policyText,
  type Random,
  seeded,
  siblingOf,
  type WorldSize,
} from "./world.ts";

export interface Measured {
  firstComputationS: number;
  firstEntries: number;
  /** One for each change that touched at most `SMALL_ENTRIES_MAX` entries. */
  smallChangesMs: number[];
  smallEntriesMax: number;
  /** Changes that touched more, which are not counted. */
  largerChanges: number;
  /** That a large change adds or removes. */
  largeEntries: number;
  largeEntriesPerS: number;
  memoryMb: number;
  memoryAfterLargeMb: number;
}

const SMALL_ENTRIES_MAX = 1_000;
const SEED = 20;

async function measure(root: string, size: WorldSize, changes: number): Promise<Measured> {
  // What the agent has in memory beside this, as far as loading it shows.
  await import("../../host/main.ts");
  const folder = mkdtempSync(join(tmpdir(), "imk-bench-policy-"));
  const kernel = new KernelMaps(root);
  try {
    const plane = await ControlPlane.start(join(folder, "bench.db"), size, kernel);
    const random = seeded(SEED);
    const texts = Array.from({ length: size.policies }, (_, index) => policyText(index, random));
    const started = performance.now();
    await plane.apply(...texts);
    const firstComputationS = (performance.now() - started) / 1_000;
    const firstEntries = kernel.takeRows().replaced;
    const small = await smallChanges(plane, kernel, { size, changes, random });
    const memoryMb = await settledMemoryMb();
    const large = await largeChanges(plane, kernel);
    const memoryAfterLargeMb = await settledMemoryMb();
    plane.close();
    return { firstComputationS, firstEntries, ...small, memoryMb, ...large, memoryAfterLargeMb };
  } finally {
    kernel.close();
    rmSync(folder, { recursive: true });
  }
}

interface SmallChanges {
  size: WorldSize;
  changes: number;
  random: Random;
}

type SmallResult = Pick<Measured, "smallChangesMs" | "smallEntriesMax" | "largerChanges">;

/** Policies, identities and labels of pods that come, change and go, each until it is in force. */
async function smallChanges(
  plane: ControlPlane,
  kernel: KernelMaps,
  { size, changes, random }: SmallChanges,
): Promise<SmallResult> {
  const result: SmallResult = { smallChangesMs: [], smallEntriesMax: 0, largerChanges: 0 };
  const added: number[] = [];
  const kinds = [
    () => plane.apply(policyText(random(size.policies), random)),
    async () => {
      const index = random(size.policies);
      const name = `extra-${index}`;
      await plane.apply(policyText(index, random, name));
      return () => plane.delete("CiliumNetworkPolicy", namespaceOf(index), name);
    },
    async () => {
      await plane.apply(clusterwideText(random, "extra-all"));
      return () => plane.delete("CiliumClusterwideNetworkPolicy", "", "extra-all");
    },
    async () => {
      added.push(await plane.addIdentity(size.identities + added.length));
    },
    async () => {
      const id = added.pop();
      if (id !== undefined) await plane.removeIdentity(id);
    },
    async () => {
      const endpoint = random(size.endpoints);
      const pod = podOf(endpoint, size);
      await plane.relabel(endpoint, siblingOf(pod) + size.identities * (1 + random(9)));
    },
  ];
  const time = async <T>(change: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    const value = await change();
    const elapsedMs = performance.now() - started;
    const { replaced, changed } = kernel.takeRows();
    const touched = replaced + changed;
    if (replaced === 0 && changed > SMALL_ENTRIES_MAX) result.largerChanges++;
    else {
      result.smallChangesMs.push(elapsedMs);
      result.smallEntriesMax = Math.max(result.smallEntriesMax, touched);
    }
    return value;
  };
  while (result.smallChangesMs.length + result.largerChanges < changes) {
    const undo = await time(async () => kinds[random(kinds.length)]?.());
    if (undo) await time(undo);
  }
  return result;
}

/**
 * A policy for all endpoints and all pods comes and goes; the slower of the two counts. What comes
 * is written in place, so the rows tell how many it is; what goes may be written as whole maps.
 */
async function largeChanges(
  plane: ControlPlane,
  kernel: KernelMaps,
): Promise<Pick<Measured, "largeEntries" | "largeEntriesPerS">> {
  const time = async (change: () => Promise<void>): Promise<number> => {
    const started = performance.now();
    await change();
    return (performance.now() - started) / 1_000;
  };
  const addedS = await time(() => plane.apply(everybodyText("everybody")));
  const { replaced, changed } = kernel.takeRows();
  const removedS = await time(() =>
    plane.delete("CiliumClusterwideNetworkPolicy", "", "everybody"),
  );
  const largeEntries = changed === 0 ? replaced : changed;
  return { largeEntries, largeEntriesPerS: largeEntries / Math.max(addedS, removedS) };
}

const MEMORY_LOOKS = 10;
const MEMORY_PAUSE_MS = 200;

/** Resident memory with everything in force; the lowest look, as garbage goes at its own time. */
async function settledMemoryMb(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < MEMORY_LOOKS; look++) {
    await pause(MEMORY_PAUSE_MS);
    least = Math.min(least, process.memoryUsage.rss());
  }
  return least / 1_000_000;
}

const [sizeText = "{}", changesText = "200"] = process.argv.slice(2);
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const measured = await measure(root, JSON.parse(sizeText) as WorldSize, Number(changesText));
process.stdout.write(`${JSON.stringify(measured)}\n`);
