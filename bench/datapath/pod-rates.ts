/**
 * Pod to pod: the rate of requests on a kept connection and on new ones, one at a time, client and
 * server on one CPU, so that it is bound by the cost of a packet's way. Plain routing over two veth
 * pairs, the same with rules of nftables and of iptables, and Imker with as many rules: all are set
 * up at once and measured in turn, and a figure is the median of the rounds' own ratios.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AgentNode } from "../agent-node.ts";
import { requireClean, runLoad, startServer } from "../load.ts";
import { atLeast, type Figure } from "../plugin/figure.ts";
import { run } from "../process.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import type { Shape } from "../shapes.ts";
import { rotate, summarize } from "../stats.ts";
import { findTool, requireTool } from "../tools.ts";
import { ADDRESS, Topology } from "../topology.ts";
import { iptables, NO_IPTABLES, nftables, policies, SERVER_PORT } from "./rules.ts";

export interface PodRateCounts {
  /** Sizes of the sets of rules. */
  rules: readonly number[];
  rounds: number;
  windowMs: number;
  warmupMs: number;
}

const LOAD_CPU = 0;
const AGENT_CPU = 1;
const BODY_BYTES = 64;
const ROUTING_GOAL = 0.97;
const AHEAD_GOAL = 1;

const one = { connections: 1, headBytes: 0, bodyBytes: BODY_BYTES };
const SHAPES: readonly Shape[] = [
  { ...one, name: "request", reconnect: false },
  { ...one, name: "connect", reconnect: true },
];

type Filter = "plain" | "imker" | "nftables" | "iptables";

interface Row {
  filter: Filter;
  /** 0 for `plain`. */
  rules: number;
}

/** Requests a second by row and shape, one of each round. */
type Rates = Map<string, number[]>;

const keyOf = ({ filter, rules }: Row, shape: Shape): string => `${filter} ${rules} ${shape.name}`;

/** @throws RunError: a request was refused or lost. */
export async function podFigures(
  paths: BenchPaths,
  counts: PodRateCounts,
  signal: AbortSignal,
): Promise<Figure[]> {
  await using cleanup = new AsyncDisposableStack();
  const bed = await PodBed.open(paths, cleanup);
  const filters: Filter[] = ["imker", "nftables", "iptables"];
  const sized = counts.rules.flatMap((rules) => filters.map((filter) => ({ filter, rules })));
  const rows: Row[] = [{ filter: "plain", rules: 0 }, ...sized];
  const rates: Rates = new Map();
  for (let round = 0; round < counts.rounds; round++) {
    for (const row of rotate(rows, round)) {
      using _rules = bed.use(row);
      for (const shape of SHAPES) {
        const rate = await bed.measure(row, shape, counts, signal);
        rates.set(keyOf(row, shape), [...(rates.get(keyOf(row, shape)) ?? []), rate]);
      }
    }
    paths.progress(`round ${round + 1}/${counts.rounds} of pod to pod`);
  }
  for (const [key, all] of rates) {
    const { median, spreadPercent } = summarize(all);
    paths.progress(`${key}: ${median.toFixed(0)}/s, spread ${spreadPercent.toFixed(0)} %`);
  }
  return counts.rules.flatMap((rules) => SHAPES.flatMap((shape) => ratios(rates, rules, shape)));
}

function ratios(rates: Rates, rules: number, shape: Shape): Figure[] {
  const of = (row: Row): number[] => rates.get(keyOf(row, shape)) ?? [];
  const ours = of({ filter: "imker", rules });
  const ratio = (theirs: readonly number[]): number =>
    summarize(ours.map((rate, round) => rate / (theirs[round] ?? Number.NaN))).median;
  const name = `${shape.name}_${rules}_rules`;
  const beside = (filter: Filter, row: Row, goal: number): Figure =>
    atLeast(goal, `${name}_to_${filter}_ratio`, ratio(of(row)), "of its rate");
  return [
    beside("plain", { filter: "plain", rules: 0 }, ROUTING_GOAL),
    beside("nftables", { filter: "nftables", rules }, AHEAD_GOAL),
    beside("iptables", { filter: "iptables", rules }, AHEAD_GOAL),
  ];
}

/** Three namespaces that route, and a node with two pods, each with its server. */
class PodBed {
  readonly #paths: BenchPaths;
  readonly #routed: Topology;
  readonly #node: AgentNode;
  readonly #iptables: string;

  private constructor(paths: BenchPaths, routed: Topology, node: AgentNode, restore: string) {
    this.#paths = paths;
    this.#routed = routed;
    this.#node = node;
    this.#iptables = restore;
  }

  static async open(paths: BenchPaths, cleanup: AsyncDisposableStack): Promise<PodBed> {
    const binaries = ["load", "server"].map((name) => `.build/bench/${name}`);
    run(["make", "-s", "plugins", ...binaries], { cwd: paths.root });
    requireTool("nft");
    const restore = findTool("iptables-legacy-restore") ?? requireTool("iptables-restore");
    mkdirSync(join(paths.build, "run"), { recursive: true });
    const folder = mkdtempSync(join(paths.build, "run", "datapath-"));
    cleanup.defer(() => rmSync(folder, { recursive: true, force: true }));
    const routed = cleanup.adopt(new Topology(), (made) => made.close());
    const node = cleanup.adopt(
      new AgentNode(paths, {
        ...{ policy: "none", runtime: "node", agentCpu: AGENT_CPU, proxyCpu: AGENT_CPU, folder },
      }),
      (made) => made.close(),
    );
    await node.open();
    for (const [netns, address] of [
      [routed.server, ADDRESS.server],
      [node.server, node.serverAddress],
    ] as const) {
      const at = { address, port: SERVER_PORT, bodyBytes: BODY_BYTES };
      const placement = { cpu: LOAD_CPU, netns };
      const server = cleanup.adopt(
        startServer(placement, join(paths.build, "server"), at),
        (program) => program.stop(),
      );
      await server.waitForListener(SERVER_PORT);
    }
    return new PodBed(paths, routed, node, restore);
  }

  /** The row's rules are in force until it is disposed of. */
  use({ filter, rules }: Row): Disposable {
    if (filter === "imker") this.#node.apply(policies(rules));
    if (filter === "nftables") this.#inRouter("nft -f -", nftables(rules));
    if (filter === "iptables") this.#inRouter(this.#iptables, iptables(rules));
    return {
      [Symbol.dispose]: () => {
        if (filter === "nftables") this.#inRouter("nft flush ruleset");
        if (filter === "iptables") this.#inRouter(this.#iptables, NO_IPTABLES);
      },
    };
  }

  /** Requests a second. */
  async measure(
    { filter }: Row,
    shape: Shape,
    { warmupMs, windowMs }: PodRateCounts,
    signal: AbortSignal,
  ): Promise<number> {
    const [netns, address] =
      filter === "imker"
        ? [this.#node.client, this.#node.serverAddress]
        : [this.#routed.client, ADDRESS.server];
    const report = await runLoad(
      {
        placement: { cpu: LOAD_CPU, netns },
        binary: join(this.#paths.build, "load"),
        ...{ to: `${address}:${SERVER_PORT}`, path: "/", shape, warmupMs, windowMs },
      },
      signal,
    );
    requireClean(filter, report);
    return (report.requests * 1e9) / report.elapsedNs;
  }

  #inRouter(command: string, input = ""): void {
    const enter = ["nsenter", `--net=/run/netns/${this.#routed.proxy}`];
    run([...enter, ...command.split(" ")], { input });
  }
}
