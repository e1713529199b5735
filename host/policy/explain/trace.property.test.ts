/**
 * For random rules an explanation says what the whole policy map says, and its steps come to that
 * verdict. IMKER_SEED repeats a run.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { cidrLabels, parsePrefix } from "../../identity/cidr.ts";
import { k8sLabel, reservedLabel } from "../../identity/label.ts";
import { createLookup, favourHost } from "../lookup.ts";
import { ruleOf } from "../oracle/generate-rules.ts";
import { PolicyConflictError, resolvePolicy } from "../resolver.ts";
import { DIRECTIONS, type Rule } from "../rule.ts";
import type { Identity, ResolvedEntry } from "../types.ts";
import { explainDirection, subjectOf } from "./direction.ts";
import { l7View } from "./text.ts";
import type { TraceEnd } from "./types.ts";

const RUNS = 120;
const SEED = Number(process.env.IMKER_SEED ?? Date.now() % 0x7fffffff);

const NAMED = [{ name: "http", port: 8080, protocol: 6 }];
const end = (kind: TraceEnd["kind"], identity: Identity): TraceEnd => ({
  ...{ name: `identity ${identity.id}`, kind, identity, isHypothetical: false },
  ...{ namespace: "default", namedPorts: kind === "pod" ? NAMED : [] },
});
const pod = (id: number, app: string, ...tier: string[]): TraceEnd =>
  end("pod", {
    id,
    labels: [k8sLabel("app", app), ...tier.map((value) => k8sLabel("tier", value))],
  });
const cidr = (id: number, text: string): TraceEnd => {
  const prefix = parsePrefix(text);
  return end("outside", { id, labels: prefix ? cidrLabels(prefix) : [] });
};
const PODS = [pod(256, "web"), pod(257, "db", "db"), pod(258, "client"), pod(259, "client", "web")];
const HOST = end("node", { id: 1, labels: [reservedLabel("host"), k8sLabel("app", "web")] });
const PEERS = [
  ...PODS,
  HOST,
  cidr((1 << 24) + 1, "10.0.0.0/8"),
  cidr((1 << 24) + 2, "10.1.0.0/16"),
];
const SUBJECTS = [...PODS, HOST];
const PORTS = [6, 17].flatMap((protocol) =>
  [80, 85, 443, 8080].map((port) => ({ protocol, port, text: "" })),
);

const plugins = fc.constantFrom(["l7-http"], ["l7-http", "redis"]);
const world = plugins.chain((names) => fc.array(ruleOf(names), { maxLength: 6 }));
const modes = fc.record({
  mode: fc.constantFrom(
    "default" as const,
    "default" as const,
    "always" as const,
    "never" as const,
  ),
  hostAccess: fc.constantFrom("always" as const, "policy" as const),
});

test(`an explanation and the policy map agree (IMKER_SEED=${SEED})`, () => {
  console.log(`trace: IMKER_SEED=${SEED}`);
  const verdicts = new Set<string>();
  fc.assert(
    fc.property(
      world,
      fc.constantFrom(...SUBJECTS),
      modes,
      (rules, subject, { mode, hostAccess }) => {
        const lookup = lookupOf(rules, subject, mode);
        for (const direction of DIRECTIONS) {
          for (const peer of PEERS) {
            for (const port of PORTS) {
              const input = { direction, subject, peer, port, rules, mode, hostAccess };
              const view = explainDirection(input);
              verdicts.add(view.verdict);
              expect(view.fault).toBeUndefined();
              if (lookup === undefined || view.verdict === "error") {
                // A contradiction may be with a peer that this packet has nothing to do with.
                expect(lookup).toBeUndefined();
                continue;
              }
              const identity = peer.identity.id;
              const packet = { ...port, direction, identity };
              const decision = favourHost(packet, lookup(packet), hostAccess);
              expect(view.verdict).toBe(decision.verdict);
              expect(view.match).toBe(decision.match);
              expect(view.l7).toEqual(decision.entry?.l7 && l7View(decision.entry.l7));
              const allowing = view.rules
                .flatMap(({ items }) => items)
                .some(({ decides }) => decides);
              expect(allowing).toBe(view.decidedBy.length > 0);
            }
          }
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
  // Rules that contradict each other are rare here, and in trace.test.ts.
  verdicts.delete("error");
  expect([...verdicts].sort()).toEqual(["allow", "deny", "drop", "redirect"]);
}, 180_000);

function lookupOf(
  rules: readonly Rule[],
  subject: TraceEnd,
  enforcement: "default" | "always" | "never",
) {
  try {
    const identities = PEERS.map(({ identity }) => identity);
    const namedPortsOf = (id: number) =>
      PEERS.find((one) => one.identity.id === id)?.namedPorts ?? [];
    const options = { namedPortsOf, enforcement };
    const { entries } = resolvePolicy(rules, identities, subjectOf(subject), options);
    return createLookup(entries satisfies readonly ResolvedEntry[]);
  } catch (error) {
    if (error instanceof PolicyConflictError) return undefined;
    throw error;
  }
}
