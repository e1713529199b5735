/**
 * What a packet costs by the size of policy and ipcache: established, new and denied ones, beside
 * the same map look-ups alone (packet-rig.ts). What the driver costs is taken off both.
 */
import { loadNative } from "../../host/native/index.ts";
import { atMost, type Figure } from "../plugin/figure.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import { significant, summarize } from "../stats.ts";
import { KINDS, type Kind, PacketRig, SIDES, type Side } from "./packet-rig.ts";

export interface PacketCounts {
  /** Ipcache entries of the rigs that are measured one after the other. */
  peers: readonly number[];
  /** Policy entries of the rigs that are measured in turn. */
  entries: readonly number[];
  connections: number;
  rounds: number;
  /** Packets of a program in a round. */
  packets: number;
}

const GOAL: Readonly<Record<Kind, number>> = { established: 1.5, new: 2, denied: 2 };
const GROWTH_GOAL = 2;

/** Nanoseconds a packet. */
type Costs = Record<Side, number>;

/** @throws RunError: the packets were not what they should have been. */
export async function packetFigures(
  { root, progress }: BenchPaths,
  { peers, entries, connections, rounds, packets }: PacketCounts,
  signal: AbortSignal,
): Promise<Figure[]> {
  const native = loadNative();
  const figures: Figure[] = [];
  for (const peerCount of peers) {
    using rigs = new DisposableStack();
    const all = entries.map((count) => {
      const size = { peers: peerCount, entries: count, connections };
      return rigs.adopt(new PacketRig(native, root, size), (rig) => rig.close());
    });
    for (const kind of KINDS) {
      const costs = measure(all, kind, rounds, packets, signal);
      report(all, kind, costs, progress);
      figures.push(...ratios(all, kind, costs));
    }
  }
  return figures;
}

/** Every rig and side in turn, so that a busy moment falls on all of them. */
function measure(
  rigs: readonly PacketRig[],
  kind: Kind,
  rounds: number,
  packets: number,
  signal: AbortSignal,
): Costs[] {
  const taken = rigs.map((): Record<Side, number[]> => {
    return { pod: [], lookups: [], bare: [], driver: [] };
  });
  for (let round = 0; round <= rounds; round++) {
    rigs.forEach((rig, at) => {
      for (const side of SIDES) {
        const nanoseconds = rig.measure(kind, side, packets);
        // The first round warms up.
        if (round > 0) taken[at]?.[side].push(nanoseconds);
      }
    });
    signal.throwIfAborted();
  }
  return taken.map(({ pod, lookups, bare, driver }) => {
    const none = summarize(driver).median;
    const net = (values: readonly number[]): number => summarize(values).median - none;
    return { pod: net(pod), lookups: net(lookups), bare: net(bare), driver: none };
  });
}

function ratios(rigs: readonly PacketRig[], kind: Kind, costs: readonly Costs[]): Figure[] {
  const name = (at: number): string =>
    `${kind}_${rigs[at]?.size.entries}_entries_${rigs[at]?.size.peers}_peers_ratio`;
  const beside = costs.map(({ pod, lookups }, at) =>
    atMost(GOAL[kind], name(at), pod / lookups, "of its look-ups' cost"),
  );
  const growth = (costs.at(-1)?.pod ?? 0) / (costs[0]?.pod ?? 0);
  const grown = `${kind}_most_to_one_entry_${rigs[0]?.size.peers}_peers_ratio`;
  return [...beside, atMost(GROWTH_GOAL, grown, growth, "of one entry's cost")];
}

function report(
  rigs: readonly PacketRig[],
  kind: Kind,
  costs: readonly Costs[],
  progress: (line: string) => void,
): void {
  rigs.forEach(({ size }, at) => {
    const { pod = 0, lookups = 0, bare = 0, driver = 0 } = costs[at] ?? {};
    const kept = kind === "new" ? ` (${bare.toFixed(0)} ns unless kept)` : "";
    progress(
      `${kind}, ${size.entries} entries, ${size.peers} peers: ${pod.toFixed(0)} ns, look-ups ` +
        `${lookups.toFixed(0)} ns${kept}, ratio ${significant(pod / lookups, 3)}; driver ` +
        `${driver.toFixed(0)} ns`,
    );
  });
}
