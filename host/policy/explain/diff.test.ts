/** What changes of policies come to, in short forms; and that nothing else changed, at random. */
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { k8sLabel } from "../../identity/label.ts";
import { podLabels } from "../../identity/pod-labels.ts";
import { PrefixLabels } from "../../identity/prefix-labels.ts";
import { finish } from "../../piecework.ts";
import { createLookup } from "../lookup.ts";
import { ruleOf } from "../oracle/generate-rules.ts";
import { PolicySayings } from "../prefix-sayings.ts";
import type { PolicyRepository } from "../repository.ts";
import { resolvePolicy } from "../resolver.ts";
import type { Rule } from "../rule.ts";
import { group } from "../testing/policy-text.ts";
import {
  CLIENT,
  cnp,
  IDENTITIES,
  parse,
  port80,
  repositoryOf,
  SUBJECT,
} from "../testing/small-world.ts";
import type { Identity, PolicySubject } from "../types.ts";
import { diffPolicies, type SeenFlow } from "./diff.ts";
import type { DiffInput } from "./diff-sides.ts";
import type { DiffView } from "./diff-types.ts";
import { changedRegions } from "./regions.ts";

const SEED = Number(process.env.IMKER_SEED ?? Date.now() % 0x7fffffff);
const RUNS = 150;

const OTHER: Identity = {
  id: 258,
  labels: podLabels({ namespace: "default", labels: { app: "other" } }),
};

function sideOf(repository: PolicyRepository): { rules: Rule[]; labels: PrefixLabels } {
  const rules = [...repository.rules()];
  const said = new PolicySayings().of(rules, repository.sources.cidrGroups());
  return { rules, labels: new PrefixLabels().with(said) };
}

function diff(
  before: string[],
  after: string[],
  more: Partial<DiffInput> & { flows?: SeenFlow[] } = {},
): DiffView {
  return diffOf(repositoryOf(...before), repositoryOf(...after), more);
}

function diffOf(
  before: PolicyRepository,
  after: PolicyRepository,
  { flows = [], ...more }: Partial<DiffInput> & { flows?: SeenFlow[] } = {},
): DiffView {
  const [was, is] = [sideOf(before), sideOf(after)];
  const input: DiffInput = {
    ...{ before: was.rules, after: is.rules, mode: "default", hostAccess: "always" },
    ...{ labelsBefore: was.labels, labelsAfter: is.labels },
    ...{ subjects: [SUBJECT], identities: [...IDENTITIES, OTHER], entriesMax: 100 },
    ...more,
  };
  return finish(diffPolicies(input, flows));
}

/** `allowed ingress peer; peer on ports: before -> after`. */
function lines(view: DiffView): string[] {
  return view.endpoints.flatMap(({ changes }) =>
    changes.map(
      ({ change, direction, peers, ports, before, after }) =>
        `${change} ${direction} ${peers.join("; ")} on ${ports.join(", ")}: ` +
        `${before.verdict} -> ${after.verdict}`,
    ),
  );
}

const CLIENTS = "fromEndpoints: [{matchLabels: {app: client}}]";
const OPEN = cnp("a", `ingress: [{${CLIENTS}}]`);
const ON_80 = cnp(
  "a",
  `ingress: [{${CLIENTS}, toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]`,
);
const HTTP_80 = cnp("a", `ingress: [{${CLIENTS}, ${port80("http: [{method: GET}]")}}]`);
const HTTP_OTHER = cnp("a", `ingress: [{${CLIENTS}, ${port80("http: [{method: PUT}]")}}]`);

test.each([
  ["nothing", [OPEN], [OPEN], []],
  [
    "the first policy closes the direction",
    [],
    [OPEN],
    ["denied ingress anyone else on all ports: allow -> drop"],
  ],
  [
    "the last one opens it",
    [OPEN],
    [],
    ["allowed ingress anyone else on all ports: drop -> allow"],
  ],
  [
    "fewer ports",
    [OPEN],
    [ON_80],
    [
      "denied ingress ns:default,app=client on every other protocol, 0-79/TCP, 81-65535/TCP: allow -> drop",
    ],
  ],
  [
    "another port range",
    [ON_80],
    [ON_80.replace('"80"', '"80", endPort: 90')],
    ["allowed ingress ns:default,app=client on 81-90/TCP: drop -> allow"],
  ],
  [
    "L7 rules where there were none",
    [ON_80],
    [HTTP_80],
    ["l7 ingress ns:default,app=client on 80/TCP: allow -> redirect"],
  ],
  [
    "other L7 rules",
    [HTTP_80],
    [HTTP_OTHER],
    ["l7 ingress ns:default,app=client on 80/TCP: redirect -> redirect"],
  ],
  [
    "a deny of who is denied anyway",
    [OPEN],
    [OPEN, cnp("b", "ingressDeny: [{fromEndpoints: [{matchLabels: {app: other}}]}]")],
    [],
  ],
  [
    "a deny beside an allow",
    [OPEN],
    [OPEN, cnp("b", `ingressDeny: [{${CLIENTS}}]`)],
    ["denied ingress ns:default,app=client on all ports: allow -> deny"],
  ],
  [
    "a prefix that had no identity",
    [OPEN],
    [OPEN, cnp("b", "ingress: [{fromCIDR: [10.0.0.0/8]}]")],
    ["allowed ingress cidr:10.0.0.0/8 on all ports: drop -> allow"],
  ],
  [
    "a deny of the node, which nothing else closes off",
    [OPEN],
    [OPEN, cnp("b", "ingressDeny: [{fromEntities: [host]}]")],
    ["denied ingress identity 1 on all ports: allow -> deny"],
  ],
  [
    "an allow of the node, which needs none",
    [OPEN],
    [OPEN, cnp("b", "ingress: [{fromEntities: [host]}]")],
    [],
  ],
  [
    "egress",
    [],
    [cnp("a", "egress: [{toEntities: [world]}]")],
    ["denied egress anyone else on all ports: allow -> drop"],
  ],
])("%s", (_name, before, after, expected) => {
  const view = diff(before, after);
  expect(lines(view)).toEqual(expected);
  expect(view.isDifferent).toBe(expected.length > 0);
});

describe("beside what is allowed", () => {
  it("tells of default deny that a policy turns on and allows everything through", () => {
    const view = diff([], [cnp("a", "ingress: [{fromEntities: [all]}]")]);
    expect(lines(view)).toEqual([]);
    expect(view.endpoints).toMatchObject([
      { isEnforcedBefore: { ingress: false }, isEnforcedAfter: { ingress: true } },
    ]);
  });

  it("tells of contradictions", () => {
    const redis = cnp(
      "b",
      `ingress: [{${CLIENTS}, ${port80("l7proto: redis, l7: [{cmd: GET}]")}}]`,
    );
    const [endpoint] = diff([HTTP_80], [HTTP_80, redis]).endpoints;
    expect(endpoint?.trouble).toMatch(/contradict each other: Cannot merge L7 rules/);
    expect(endpoint?.changes).toEqual([]);
    expect(endpoint?.isEnforcedAfter).toEqual({ ingress: true, egress: false });
    expect(diff([HTTP_80, redis], [OPEN]).endpoints[0]?.isEnforcedBefore.egress).toBe(false);
  });

  it("tells of a policy that does not fit into the map", () => {
    const many = cnp(
      "a",
      `ingress: [{${CLIENTS}, toPorts: [{ports: [{port: "1", endPort: 65534}]}]}]`,
    );
    const [endpoint] = diff([OPEN], [many], { entriesMax: 20 }).endpoints;
    expect(endpoint?.trouble).toMatch(
      /^\d+ entries do not fit into its policy map, which holds 20$/,
    );
  });
});

describe("flows", () => {
  const flow: SeenFlow = {
    ...{ direction: "ingress", endpoint: 1, peer: CLIENT.id, peerAddress: "10.9.0.2" },
    ...{
      source: "default/client",
      destination: "default/web",
      protocol: 6,
      port: 80,
      timeMs: 1_000,
    },
  };

  it("are counted, the most frequent first", () => {
    const flows = [
      { ...flow, peer: OTHER.id, source: "default/other" },
      flow,
      { ...flow, timeMs: 3_000 },
      { ...flow, endpoint: 99 },
    ];
    const view = diff([], [cnp("b", "ingressDeny: [{fromEntities: [all]}]")], { flows });
    expect(view.flowsSeen).toBe(4);
    expect(
      view.flows.map(({ source, count, lastSeen, change }) => [source, count, lastSeen, change]),
    ).toEqual([
      ["default/client", 2, "1970-01-01T00:00:03.000Z", "denied"],
      ["default/other", 1, "1970-01-01T00:00:01.000Z", "denied"],
    ]);
    expect(view.flows[0]?.after).toEqual({
      verdict: "deny",
      policies: ["CiliumNetworkPolicy default/b"],
    });
  });

  it("of the node, which may always reach its pods, are not denied by default", () => {
    const node = { ...flow, peer: 1, peerAddress: "10.9.0.1", source: "reserved:host" };
    const flows = [flow, node];
    const denied = (spec: string) =>
      diff([], [cnp("b", spec)], { flows }).flows.map(({ source }) => source);
    expect(denied("ingress: [{}]")).toEqual(["default/client"]);
    expect(denied("ingressDeny: [{fromEntities: [host]}]").sort()).toEqual([
      "default/client",
      "reserved:host",
    ]);
    const byPolicy = diff([], [cnp("b", "ingress: [{}]")], { flows, hostAccess: "policy" });
    expect(byPolicy.flows.map(({ source }) => source).sort()).toEqual([
      "default/client",
      "reserved:host",
    ]);
  });

  it("of an address in a prefix that gets an identity only with the change", () => {
    const flows = [
      { ...flow, peer: 9, peerAddress: "10.1.2.3" },
      { ...flow, peer: 9, peerAddress: "8.8.8.8" },
    ];
    const view = diff([OPEN], [OPEN, cnp("b", "ingress: [{fromCIDR: [10.0.0.0/8]}]")], { flows });
    expect(view.flows.map(({ count, change }) => [count, change])).toEqual([[1, "allowed"]]);
  });
});

describe("of groups of prefixes", () => {
  const partners = cnp("b", "ingress: [{fromCIDRSet: [{cidrGroupRef: partners}]}]");
  const changed = (before: string, after: string, flows: SeenFlow[] = []): DiffView => {
    const repository = repositoryOf(OPEN, partners, group("partners", before));
    const copy = repository.clone();
    copy.upsertAll(parse(group("partners", after)).documents);
    return diffOf(repository, copy, { flows });
  };

  it.each([
    ["the same", "10.1.0.0/16", "10.1.0.0/16", []],
    [
      "one more",
      "10.1.0.0/16",
      "10.1.0.0/16, 10.2.0.0/16",
      ["allowed ingress cidr:10.2.0.0/16 on all ports: drop -> allow"],
    ],
    [
      "wider",
      "10.1.0.0/16",
      "10.0.0.0/8",
      ["allowed ingress cidr:10.0.0.0/8 on all ports: drop -> allow"],
    ],
    [
      "several less, one of them inside another",
      "10.1.0.0/16, 10.2.0.0/16, 10.2.3.0/24, 192.0.2.0/24",
      "10.2.3.0/24",
      ["denied ingress cidr:192.0.2.0/24 and 2 more prefixes on all ports: allow -> drop"],
    ],
  ])("%s", (_, before, after, expected) => {
    const view = changed(before, after);
    expect(lines(view)).toEqual(expected);
    expect(view.isDifferent).toBe(expected.length > 0);
  });

  it("of addresses that are known by an identity of before", () => {
    const seen = {
      ...({ direction: "ingress", endpoint: 1, protocol: 6, port: 80, timeMs: 1_000 } as const),
      ...{ source: "10.1.0.1", destination: "default/web-1", peer: (1 << 24) + 7 },
    };
    const flows = ["10.1.0.1", "10.2.0.1", "10.3.0.1"].map((peerAddress) => {
      return { ...seen, source: peerAddress, peerAddress };
    });
    const view = changed("10.1.0.0/16, 10.2.0.0/16", "10.1.0.0/16", flows);
    expect(view.flows.map(({ source, change }) => [source, change])).toEqual([
      ["10.2.0.1", "denied"],
    ]);
  });
});

test(`regions are exactly where two maps differ (IMKER_SEED=${SEED})`, () => {
  console.log(`diff: IMKER_SEED=${SEED}`);
  const world = fc.array(ruleOf(), { maxLength: 5 });
  const pods = ["web", "db", "client"].map(
    (app, index): Identity => ({ id: 256 + index, labels: [k8sLabel("app", app)] }),
  );
  const [identity] = pods;
  if (!identity) throw new Error("no subject");
  const subject: PolicySubject = { endpoint: 1, identity, namespace: "default", namedPorts: [] };
  const port = fc.oneof(
    fc.constantFrom(0, 79, 80, 81, 90, 91, 442, 443, 444, 65_535),
    fc.nat(65_535),
  );
  fc.assert(
    fc.property(world, world, fc.constantFrom(0, 256, 257, 258, 9), port, (a, b, peer, number) => {
      const [before = [], after = []] = [a, b].map(
        (rules) => resolvePolicy(rules, pods, subject).entries,
      );
      const { regions } = changedRegions({
        ...{ before, after, identity: peer, direction: "ingress", hostAccess: "always" },
      });
      const named = new Set([...before, ...after].map(({ protocol }) => protocol));
      for (const protocol of [6, 17, 1]) {
        const packet = { direction: "ingress", identity: peer, protocol, port: number } as const;
        const [was, is] = [before, after].map((entries) => createLookup(entries)(packet));
        const region = regions.find(
          (one) =>
            one.protocol === (named.has(protocol) ? protocol : 0) &&
            one.first <= number &&
            number <= one.last,
        );
        const allowed = [was, is].map(
          (one) => one?.verdict === "allow" || one?.verdict === "redirect",
        );
        const isOther =
          allowed[0] !== allowed[1] ||
          (allowed[0] === true && JSON.stringify(was?.entry?.l7) !== JSON.stringify(is?.entry?.l7));
        expect(region !== undefined).toBe(isOther);
        if (region)
          expect([region.before.verdict, region.after.verdict]).toEqual([
            was?.verdict,
            is?.verdict,
          ]);
      }
    }),
    { seed: SEED, numRuns: RUNS * 4 },
  );
}, 120_000);
