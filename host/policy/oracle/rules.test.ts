/**
 * Random rules with tiers, priorities, passes and scopes: a plain evaluator, and the resolver with
 * the kernel's look-up, must agree on the verdict and on what the proxy lets through. IMKER_SEED
 * repeats a run.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { cidrLabels, parsePrefix } from "../../identity/cidr.ts";
import { k8sLabel, reservedLabel } from "../../identity/label.ts";
import { createLookup } from "../lookup.ts";
import { classOf } from "../resolve/level.ts";
import { resolvePolicy } from "../resolver.ts";
import type { Rule } from "../rule.ts";
import type { Identity, PolicySubject } from "../types.ts";
import { evaluateRules, type PlainPeer, type PlainSubject } from "./evaluate-rules.ts";
import { ruleOf } from "./generate-rules.ts";

const RUNS = 600;
const SEED = Number(process.env.IMKER_SEED ?? Date.now() % 0x7fffffff);

const pod = (id: number, app: string, tier?: string): Identity => {
  const labels = [k8sLabel("app", app)];
  if (tier !== undefined) labels.push(k8sLabel("tier", tier));
  return { id, labels };
};
const PODS = [pod(256, "web"), pod(257, "db", "db"), pod(258, "client"), pod(259, "client", "web")];
const PREFIXES = ["10.0.0.0/8", "10.1.0.0/16"];
const CIDRS = PREFIXES.map((text, index): Identity => {
  const prefix = parsePrefix(text);
  return { id: (1 << 24) + 1 + index, labels: prefix ? cidrLabels(prefix) : [] };
});
const WORLD = reservedLabel("world-ipv4");
/** Peers with the identity that the ipcache gives their addresses. */
const PEERS: { id: number; peer: PlainPeer }[] = [
  ...PODS.map(({ id, labels }) => ({ id, peer: { labels } })),
  { id: (1 << 24) + 1, peer: { labels: [WORLD], address: "10.2.0.1" } },
  { id: (1 << 24) + 2, peer: { labels: [WORLD], address: "10.1.0.1" } },
  { id: 9, peer: { labels: [WORLD], address: "8.8.8.8" } },
  { id: 1, peer: { labels: [reservedLabel("host")] } },
];

const NAMED = [{ name: "http", port: 8080, protocol: 6 }];
const HOST: Identity = { id: 1, labels: [reservedLabel("host"), k8sLabel("app", "web")] };
const SUBJECTS: { resolver: PolicySubject; plain: PlainSubject }[] = [
  ...PODS.map((identity) => ({ identity, scope: "endpoint" as const })),
  { identity: HOST, scope: "node" as const },
].map(({ identity, scope }) => ({
  resolver: { endpoint: 1, scope, identity, namespace: "default", namedPorts: NAMED },
  plain: { scope, labels: identity.labels, namedPorts: NAMED },
}));

const DIRECTIONS = ["ingress", "egress"] as const;
const PACKETS = DIRECTIONS.flatMap((direction) =>
  [6, 17, 1].flatMap((protocol) =>
    [80, 85, 443, 8080].map((port) => ({ direction, protocol, port: protocol === 1 ? 0 : port })),
  ),
);

let cases = 0;

test(`resolver and look-up agree with the plain meaning of rules (IMKER_SEED=${SEED})`, () => {
  console.log(`rule oracle: IMKER_SEED=${SEED}`);
  fc.assert(
    fc.property(fc.array(ruleOf(), { maxLength: 7 }), fc.nat(SUBJECTS.length - 1), checkRun),
    { seed: SEED, numRuns: RUNS },
  );
  console.log(`rule oracle: ${cases} packets`);
  expect(cases).toBeGreaterThan(50_000);
}, 180_000);

function checkRun(rules: Rule[], index: number): void {
  const subject = SUBJECTS[index];
  if (!subject) throw new Error("no such subject");
  const { entries } = resolvePolicy(rules, [...PODS, ...CIDRS], subject.resolver);
  for (const { precedence, deny, l7 } of entries) {
    const low = classOf(precedence);
    expect(deny ? low === 255 : l7 ? low > 1 && low < 255 : low <= 1).toBe(true);
  }
  const lookup = createLookup(entries);
  for (const { id, peer } of PEERS) {
    for (const packet of PACKETS) {
      const expected = evaluateRules(rules, subject.plain, peer, packet);
      const { verdict, entry } = lookup({ ...packet, identity: id });
      const paths = entry?.l7?.rules.flatMap((one) => (one.length > 0 ? one[0]?.value : "*"));
      const actual = {
        verdict: verdict === "redirect" ? "allow" : verdict,
        paths: paths && new Set(paths.includes("*") ? ["*"] : paths),
      };
      cases++;
      if (actual.verdict === expected.verdict && sameSet(actual.paths, expected.paths)) continue;
      expect(actual, JSON.stringify({ packet, id, rules })).toEqual(expected);
    }
  }
}

function sameSet(a: ReadonlySet<unknown> | undefined, b: ReadonlySet<unknown> | undefined) {
  return a === undefined || b === undefined
    ? a === b
    : a.size === b.size && [...a].every((x) => b.has(x));
}
