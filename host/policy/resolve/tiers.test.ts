/**
 * What tiers, priorities, pass and the node's scope mean, on one subject `web` with two peers
 * (policy-semantics.md 2.1, 2.2, 2.3). Rules are built by hand: no language has all of it.
 */
import { describe, expect, test } from "vitest";
import { createLookup } from "../lookup.ts";
import { resolvePolicy } from "../resolver.ts";
import type { PortMatch, Rule, RuleItem, RuleVerdict, Tier } from "../rule.ts";
import { ANY_SELECTOR, labelSelector, type Selector } from "../selector.ts";
import { CLIENT, IDENTITIES, lines, SUBJECT } from "../testing/small-world.ts";
import type { PolicySubject } from "../types.ts";
import { classOf, levelOf } from "./level.ts";

const TCP = 6;
const tcp = (first: number, last = first): PortMatch => ({
  kind: "range",
  protocol: TCP,
  first,
  last,
});
const app = (name: string): Selector =>
  labelSelector([{ source: "any", key: "app", operator: "In", values: [name] }]);
const PEERS: Record<string, Selector> = {
  any: ANY_SELECTOR,
  client: app("client"),
  web: app("web"),
};

interface Short {
  tier?: Tier;
  priority?: number;
  /** `client`, `web` or `any`. */
  peer?: string;
  /** `80`, `80-90`; all ports if absent. */
  port?: string;
  /** Paths that HTTP rules allow. */
  http?: string;
  defaultDeny?: boolean;
  scope?: "node";
  plugin?: string;
}

let named = 0;

function rule(verdict: RuleVerdict, short: Short = {}): Rule {
  const { tier = "normal", priority, peer = "any", port, http, scope, plugin = "l7-http" } = short;
  const [first = "", last = first] = port?.split("-") ?? [];
  const l7 = http && { rules: { plugin, rules: [[{ key: "path", value: http }]] }, priority: 101 };
  const matches = [tcp(Number(first), Number(last))];
  const item: RuleItem = {
    direction: "ingress",
    verdict,
    ...(priority === undefined ? {} : { priority }),
    peers: [PEERS[peer] ?? ANY_SELECTOR],
    ports: port === undefined ? undefined : [{ matches, ...(l7 ? { l7 } : {}) }],
  };
  return {
    origin: {
      ...{ kind: "NetworkPolicy", name: `p${named++}`, namespace: "default" },
      ...{ labels: [], revision: 1 },
    },
    tier,
    ...(scope ? { scope } : {}),
    subject: labelSelector([]),
    // Only policies of the normal tier turn default deny on.
    defaultDeny: { ingress: short.defaultDeny ?? tier === "normal", egress: false },
    items: [item],
  };
}

/** The verdict for a connection from `client` and from the world (2) to each port. */
function verdicts(rules: Rule[], ports: number[], subject: PolicySubject = SUBJECT): string[] {
  const { entries } = resolvePolicy(rules, IDENTITIES, subject);
  const lookup = createLookup(entries);
  return ports.flatMap((port) =>
    [CLIENT.id, 2].map((identity) => {
      const { verdict } = lookup({ direction: "ingress", identity, protocol: TCP, port });
      return `${identity === 2 ? "world" : "client"} ${port} ${verdict}`;
    }),
  );
}

describe("which rule decides", () => {
  test.each<[string, Rule[], string[]]>([
    [
      "an admin allow beats a normal deny",
      [rule("allow", { tier: "admin", peer: "client" }), rule("deny")],
      ["client 80 allow", "world 80 deny"],
    ],
    [
      "an admin deny beats a normal allow",
      [rule("deny", { tier: "admin", peer: "client" }), rule("allow")],
      ["client 80 deny", "world 80 allow"],
    ],
    [
      "normal rules beat baseline ones",
      [rule("allow", { peer: "client" }), rule("deny", { tier: "baseline" })],
      ["client 80 allow", "world 80 deny"],
    ],
    [
      "baseline decides what no normal rule does, before default deny",
      [rule("allow", { peer: "web" }), rule("allow", { tier: "baseline", peer: "client" })],
      ["client 80 allow", "world 80 drop"],
    ],
    [
      "admin and baseline rules never turn default deny on",
      [
        rule("allow", { tier: "admin", peer: "client" }),
        rule("deny", { tier: "baseline", port: "90" }),
      ],
      ["client 80 allow", "world 80 allow"],
    ],
    [
      "the lower priority decides, whatever its verdict",
      [
        rule("allow", { tier: "admin", priority: 5, peer: "client" }),
        rule("deny", { tier: "admin", priority: 5.01 }),
      ],
      ["client 80 allow", "world 80 deny"],
    ],
    [
      "at equal priority deny beats allow, however specific",
      [
        rule("deny", { tier: "admin", priority: 5 }),
        rule("allow", { tier: "admin", priority: 5, peer: "client", port: "80" }),
      ],
      ["client 80 deny", "world 80 deny"],
    ],
    [
      "at equal priority allow beats pass, however specific",
      [
        rule("allow", { tier: "admin", priority: 5 }),
        rule("pass", { tier: "admin", priority: 5, peer: "client", port: "80" }),
        rule("deny"),
      ],
      ["client 80 allow", "world 80 allow"],
    ],
    [
      "pass skips the rest of its tier",
      [
        rule("pass", { tier: "admin", priority: 1, peer: "client" }),
        rule("deny", { tier: "admin", priority: 2 }),
        rule("allow"),
      ],
      ["client 80 allow", "world 80 deny"],
    ],
    [
      "pass skips what is for any peer and a port of its own",
      [
        rule("pass", { tier: "admin", priority: 1, peer: "client" }),
        rule("allow", { tier: "admin", priority: 2, port: "80" }),
        rule("deny", { peer: "client" }),
      ],
      ["client 80 deny", "world 80 allow"],
    ],
    [
      "pass with nothing behind it is default deny",
      [
        rule("pass", { tier: "admin", priority: 1, peer: "client" }),
        rule("allow", { tier: "admin", priority: 2 }),
        rule("allow", { peer: "web" }),
      ],
      ["client 80 drop", "world 80 allow"],
    ],
    [
      "pass with nothing behind it and nothing enforced is open",
      [
        rule("pass", { tier: "admin", priority: 1, peer: "client" }),
        rule("deny", { tier: "admin", priority: 2 }),
      ],
      ["client 80 allow", "world 80 deny"],
    ],
    [
      "a pass in baseline leaves it to the default",
      [
        rule("pass", { tier: "baseline", priority: 1, peer: "client" }),
        rule("deny", { tier: "baseline", priority: 2 }),
      ],
      ["client 80 allow", "world 80 deny"],
    ],
    [
      "passes of two tiers in turn",
      [
        rule("pass", { tier: "admin", priority: 1 }),
        rule("deny", { tier: "admin", priority: 2 }),
        rule("pass", { tier: "baseline", priority: 1, peer: "client" }),
        rule("deny", { tier: "baseline", priority: 2 }),
      ],
      ["client 80 allow", "world 80 deny"],
    ],
    [
      "what is beyond all priorities comes last, and deny before allow",
      [
        rule("allow", { tier: "admin", priority: 1_000, peer: "client" }),
        rule("deny", { tier: "admin", priority: 1e9 }),
      ],
      ["client 80 allow", "world 80 deny"],
    ],
  ])("%s", (_, rules, expected) => {
    expect(verdicts(rules, [80])).toEqual(expected);
    expect(verdicts(rules.toReversed(), [80]), "in the other order").toEqual(expected);
  });

  test("a pass is for its ports only", () => {
    const rules = [
      rule("pass", { tier: "admin", priority: 1, peer: "client", port: "80-81" }),
      rule("deny", { tier: "admin", priority: 2 }),
      rule("allow", { port: "81-82" }),
    ];
    expect(verdicts(rules, [80, 81, 82])).toEqual([
      ...["client 80 drop", "world 80 deny", "client 81 allow", "world 81 deny"],
      ...["client 82 deny", "world 82 deny"],
    ]);
  });
});

describe("L7 rules", () => {
  test.each<[string, Rule[], string[]]>([
    [
      "an admin allow takes the connection past them",
      [rule("allow", { tier: "admin", port: "80" }), rule("allow", { port: "80", http: "/a" })],
      ["0 6:80/16 allow"],
    ],
    [
      "a baseline allow does not widen them",
      [rule("allow", { port: "80", http: "/a" }), rule("allow", { tier: "baseline" })],
      ["0 0:0/0 allow", "0 6:80/16 l7-http [path=/a]"],
    ],
    [
      "a pass leaves the connection to them",
      [
        rule("pass", { tier: "admin", priority: 1, port: "80" }),
        rule("deny", { tier: "admin", priority: 2 }),
        rule("allow", { port: "80", http: "/a" }),
      ],
      ["0 0:0/0 deny", "0 6:80/16 l7-http [path=/a]"],
    ],
    [
      "a plain allow of the same tier lets every request through",
      [rule("allow", { port: "80", http: "/a" }), rule("allow", { peer: "client" })],
      ["0 6:80/16 l7-http [path=/a]", "257 0:0/0 allow", "257 6:80/16 l7-http [*]"],
    ],
    [
      "where nothing is enforced they deny nothing",
      [rule("allow", { port: "80", http: "/a", defaultDeny: false })],
      ["0 0:0/0 allow", "0 6:80/16 l7-http [*]"],
    ],
    [
      "different parsers of different tiers do not meet",
      [
        rule("allow", { tier: "admin", port: "80", http: "a", plugin: "redis" }),
        rule("allow", { port: "80", http: "/a" }),
      ],
      ["0 6:80/16 redis [path=a]"],
    ],
  ])("%s", (_, rules, expected) => {
    expect(lines(resolvePolicy(rules, IDENTITIES, SUBJECT).entries)).toEqual(expected);
  });
});

describe("precedence", () => {
  test("levels are ordered by tier, then priority, and fit", () => {
    const levels = [
      levelOf("admin", 0),
      levelOf("admin", 0.01),
      levelOf("admin", 1_000.99),
      levelOf("admin", 1e9),
      levelOf("normal", 0),
      levelOf("baseline", 0),
      levelOf("baseline", 1e9),
    ];
    expect(levels).toEqual(levels.toSorted((a, b) => b - a));
    expect(new Set(levels).size).toBe(levels.length);
    expect(((levels[0] ?? 0) + 1) * 256 + 255).toBeLessThan(2 ** 32);
    expect(levels.every((level) => level % 2 === 0)).toBe(true);
  });

  test("the low byte is the class: 255 deny, 2 to 254 redirect, 1 allow, 0 nothing", () => {
    const rules = [
      rule("pass", { tier: "admin", priority: 1, peer: "client", port: "83" }),
      rule("allow", { tier: "admin", priority: 2, port: "83" }),
      rule("deny", { port: "80" }),
      rule("allow", { port: "81" }),
      rule("allow", { port: "82", http: "/a" }),
    ];
    const { entries } = resolvePolicy(rules, IDENTITIES, SUBJECT);
    const classes = entries
      .filter(({ direction }) => direction === "ingress")
      .map(({ identity, port, precedence }) => `${identity}:${port} ${classOf(precedence)}`);
    const expected = ["0:80 255", "0:81 1", "0:82 154", "0:83 1", "257:83 0"];
    expect(classes.toSorted()).toEqual(expected);
  });
});

describe("the node", () => {
  const node: PolicySubject = {
    endpoint: 65_535,
    scope: "node",
    identity: {
      id: 1,
      labels: [
        { source: "reserved", key: "host", value: "" },
        { source: "k8s", key: "role", value: "edge" },
      ],
    },
    namespace: "",
    namedPorts: [],
  };

  test("its rules are never for pods, and theirs never for it", () => {
    const forNode = rule("deny", { scope: "node" });
    const forPods = rule("deny");
    expect(verdicts([forNode], [80])).toEqual(["client 80 allow", "world 80 allow"]);
    expect(verdicts([forPods], [80], node)).toEqual(["client 80 allow", "world 80 allow"]);
    expect(verdicts([forNode], [80], node)).toEqual(["client 80 deny", "world 80 deny"]);
  });

  test("selects by the node's labels", () => {
    const other = labelSelector([{ source: "any", key: "role", operator: "In", values: ["db"] }]);
    const elsewhere = { ...rule("allow", { scope: "node", peer: "client" }), subject: other };
    expect(verdicts([elsewhere], [80], node)).toEqual(["client 80 allow", "world 80 allow"]);
  });

  test("is closed by a rule that selects it, not by enforcement for all", () => {
    const options = { enforcement: "always" } as const;
    const open = resolvePolicy([], IDENTITIES, node, options);
    expect([open.ingressEnforced, open.egressEnforced]).toEqual([false, false]);
    const only = resolvePolicy(
      [rule("allow", { scope: "node", peer: "client" })],
      IDENTITIES,
      node,
    );
    expect([only.ingressEnforced, only.egressEnforced]).toEqual([true, false]);
    expect(lines(only.entries)).toEqual(["257 0:0/0 allow"]);
    expect(lines(only.entries, "egress")).toEqual(["0 0:0/0 allow"]);
  });
});
