/** The order in which a revision comes into force, and what stays in force when a step fails. */
import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { Enforcer } from "./enforcer.ts";
import type { RuleSets } from "./rule-sets.ts";
import type { Plan, PolicyContent } from "./types.ts";

const NO_ROWS = { keys: new Uint8Array(), values: new Uint8Array(), count: 0 };

const LINEAGE = {};

/** Equal names are one content, as of endpoints that share a policy. */
const contents = new Map<string, PolicyContent>();

function contentOf(name: string): PolicyContent {
  const [, count = "1"] = name.split("*");
  const known = contents.get(name);
  const content = known ?? {
    ...{ count: Number(count), lineage: LINEAGE, version: contents.size + 1 },
    ...{ pack: () => NO_ROWS, changeFrom: () => undefined, settle: () => {} },
  };
  contents.set(name, content);
  return content;
}

const plan = (
  maps: Record<number, string>,
  ruleSets: number[] = [],
  prefixes: [string, number][] = [],
): Plan => ({
  endpoints: Object.entries(maps).map(([endpoint, name]) => ({
    endpoint: Number(endpoint),
    content: contentOf(name),
    ruleSets: new Set(ruleSets),
  })),
  ruleSets: new Set(ruleSets),
  prefixes: new Map(prefixes),
});

describe("Enforcer", () => {
  let steps: string[];
  let refuse: "proxy" | "kernel" | undefined;
  let enforcer: Enforcer;

  beforeEach(() => {
    steps = [];
    refuse = undefined;
    // Only what the enforcer asks of them; the real ones are covered end to end.
    const ruleSets = {
      versions: () => [],
      services: () => [],
      select: (numbers: Iterable<number>) => [...numbers].map((id) => ({ id })),
      retain: () => {},
    } as unknown as RuleSets;
    enforcer = new Enforcer(
      {
        log: pino({ level: "silent" }),
        ruleSets,
        onEnforced: (endpoint, revision) => steps.push(`enforced ${endpoint} r${revision}`),
        kernel: {
          fillPolicy: async () => {
            if (refuse === "kernel") throw new Error("map full");
            return { map: 0 };
          },
          placePolicies: async (placements) => {
            for (const { endpoint } of placements) steps.push(`map ${endpoint}`);
          },
          changePolicy: async (endpoint) => {
            steps.push(`change ${endpoint}`);
          },
          removePolicy: (endpoint) => steps.push(`no map ${endpoint}`),
          bumpEpoch: () => steps.push("epoch"),
        },
        ipcache: {
          upsert: (_source, prefix, identity) => steps.push(`ipcache ${prefix}=${identity}`),
          delete: (_source, prefix) => steps.push(`ipcache -${prefix}`),
        },
        proxy: {
          setState: async (state) => {
            if (refuse === "proxy") throw new Error("no confirmation");
            steps.push(`proxy ${state.ruleSets.map((one) => one.id)}`);
          },
          reevaluate: async (endpoints) => {
            steps.push(`reevaluate ${endpoints}`);
          },
        },
      },
      100,
    );
  });

  it("teaches the proxy, switches maps, then lets the proxy forget", async () => {
    await enforcer.enforce(plan({ 1: "a" }, [7]), 1);
    expect(steps).toEqual(["proxy 7", "map 1", "epoch", "enforced 1 r1", "reevaluate 1"]);
    steps.length = 0;
    await enforcer.enforce(plan({ 1: "b" }, [8]), 2);
    expect(steps).toEqual([
      "proxy 7,8",
      "map 1",
      "epoch",
      "enforced 1 r2",
      "reevaluate 1",
      "proxy 8",
    ]);
  });

  it("touches only the maps that differ", async () => {
    await enforcer.enforce(plan({ 1: "a", 2: "a" }), 1);
    steps.length = 0;
    await enforcer.enforce(plan({ 1: "a", 2: "b" }), 2);
    expect(steps.filter((step) => step.startsWith("map"))).toEqual(["map 2"]);
  });

  it("takes the map of the node away when no rule is for it, and says that this is in force", async () => {
    await enforcer.enforce(plan({ 65535: "a" }), 1);
    steps.length = 0;
    const none = { ...plan({}), unpoliced: [65_535] };
    await enforcer.enforce(none, 2);
    await enforcer.enforce(none, 3);
    expect(steps).toEqual([
      ...["no map 65535", "epoch", "enforced 65535 r2", "reevaluate 65535"],
      ...["enforced 65535 r3", "reevaluate "],
    ]);
    await enforcer.enforce(plan({ 65535: "a" }), 4);
    expect(steps).toContain("map 65535");
  });

  it("maps know an identity before an address gets it", async () => {
    await enforcer.enforce(plan({ 1: "a" }, [], [["10.0.0.0/8", 9]]), 1);
    expect(steps.indexOf("ipcache 10.0.0.0/8=9")).toBeGreaterThan(steps.indexOf("map 1"));
    steps.length = 0;
    await enforcer.enforce(plan({ 1: "b" }), 2);
    expect(steps).toContain("ipcache -10.0.0.0/8");
  });

  it("leaves the maps alone when the proxy does not confirm, and says so until it works", async () => {
    await enforcer.enforce(plan({ 1: "a" }), 1);
    steps.length = 0;
    refuse = "proxy";
    await expect(enforcer.enforce(plan({ 1: "b" }, [7]), 2)).rejects.toThrow("no confirmation");
    expect(steps).toEqual([]);
    expect(enforcer.enforcement).toEqual({ revision: 1, trouble: "no confirmation" });
    refuse = undefined;
    await enforcer.enforce(plan({ 1: "b" }, [7]), 2);
    expect(enforcer.enforcement).toEqual({ revision: 2 });
  });

  it("needs no proxy for a revision without new rule sets", async () => {
    refuse = "proxy";
    await enforcer.enforce(plan({ 1: "a" }), 1);
    expect(enforcer.enforcement).toEqual({ revision: 1 });
  });

  it("a map the kernel refuses is written again by the next try", async () => {
    refuse = "kernel";
    await expect(enforcer.enforce(plan({ 1: "a" }), 1)).rejects.toThrow("map full");
    refuse = undefined;
    await enforcer.enforce(plan({ 1: "a" }), 1);
    expect(steps).toContain("map 1");
  });

  it("an endpoint whose policy does not fit keeps its map and its rule sets", async () => {
    await enforcer.enforce(plan({ 1: "a", 2: "b" }, [7]), 1);
    steps.length = 0;
    const large = plan({ 1: "c*16385", 2: "d" }, []);
    await enforcer.enforce(large, 2);
    expect(steps).toEqual(["map 2", "epoch", "enforced 2 r2", "reevaluate 2"]);
    const overflow = { endpoint: 1, entries: 16_385, entriesMax: 16_384, isLockedDown: false };
    expect(enforcer.overflows).toEqual([overflow]);
    steps.length = 0;
    await enforcer.enforce(plan({ 1: "a", 2: "d" }), 3);
    expect(steps.slice(0, 2)).toEqual(["enforced 1 r3", "enforced 2 r3"]);
    expect(steps).toContain("proxy ");
    expect(enforcer.overflows).toEqual([]);
  });
});
