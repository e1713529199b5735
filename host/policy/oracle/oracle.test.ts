/**
 * Random policies, peers and packets: the oracle, which reads the YAML objects packet by packet,
 * and the resolver with the kernel's look-up must agree on the verdict, on the requests the proxy
 * lets pass and how its rules count, on what is only watched, and on whose policies decided.
 * IMKER_SEED repeats a run.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { createLookup, type L7Rules, type ResolvedEntry } from "../index.ts";
import { evaluate, type OracleVerdict } from "./evaluate.ts";
import { policyObjects } from "./generate.ts";
import { PORTS, SERVICES } from "./generate-parts.ts";
import { resolveObjects } from "./resolve-objects.ts";
import { type ApiPlaces, NODE, type Pod, peerOf, SUBJECTS } from "./world.ts";

const RUNS = 700;
const PACKETS_PER_RUN = 80;
const SEED = Number(process.env.IMKER_SEED ?? Date.now() % 0x7fffffff);

const PACKET = fc.record({
  direction: fc.constantFrom("ingress" as const, "egress" as const),
  peer: fc.nat(),
  protocol: fc.constantFrom(6, 6, 6, 6, 17, 17, 132, 1, 58, 2, 47, 112),
  port: fc.constantFrom(...PORTS),
  type: fc.constantFrom(0, 8, 13, 128, 129, 144, 200),
});

const API = fc.record({ outside: fc.boolean(), here: fc.boolean() });

const REQUESTS = ["GET", "POST", "GETX"].flatMap((method) =>
  ["/public", "/public/a", "/api", "/"].map((path) => ({ method, path })),
);

type Fields = readonly { key: string; value: string }[];

function requestMatches(rule: Fields, request: Record<string, string>): boolean {
  return rule.every(({ key, value }) => new RegExp(`^(?:${value})$`).test(request[key] ?? ""));
}

function assertWellFormed(entries: readonly ResolvedEntry[]): void {
  const keys = new Set<string>();
  for (const { direction, identity, protocol, port, portPrefix, precedence, deny, l7 } of entries) {
    const key = [direction, identity, protocol, portPrefix, port].join();
    expect(keys.has(key), `key ${key} twice`).toBe(false);
    keys.add(key);
    expect(port & ((1 << (16 - portPrefix)) - 1)).toBe(0);
    const low = precedence & 0xff;
    expect(deny ? low === 255 : l7 ? low > 1 && low < 255 : low <= 1).toBe(true);
  }
}

/** Enforcement wins over visibility; visibility denies nothing and needs nothing. */
function assertL7(l7: L7Rules, expected: OracleVerdict, context: string): void {
  const { mode = "enforce", failure = "closed", plugin } = l7;
  if (expected.proxied) {
    expect([plugin, mode, failure], context).toEqual(["l7-http", expected.mode, expected.failure]);
    return;
  }
  expect([mode, failure, l7.rules], context).toEqual(["observe", "open", [[]]]);
  expect(expected.watchers, context).toContain(plugin);
}

let cases = 0;

test(`resolver and look-up agree with the oracle (IMKER_SEED=${SEED})`, () => {
  console.log(`policy oracle: IMKER_SEED=${SEED}`);
  fc.assert(
    fc.property(
      policyObjects,
      fc.constantFrom(...SUBJECTS, NODE),
      API,
      fc.array(PACKET, { minLength: 1, maxLength: PACKETS_PER_RUN, size: "max" }),
      checkRun,
    ),
    { seed: SEED, numRuns: RUNS },
  );
  console.log(`policy oracle: ${cases} packets`);
  expect(cases).toBeGreaterThan(10_000);
}, 180_000);

function checkRun(
  objects: Parameters<typeof evaluate>[0],
  subject: Pod,
  api: ApiPlaces,
  packets: {
    direction: "ingress" | "egress";
    peer: number;
    protocol: number;
    port: number;
    type: number;
  }[],
): void {
  const { resolved, peers } = resolveObjects(objects, subject, api);
  assertWellFormed(resolved.entries);
  const lookup = createLookup(resolved.entries);
  const own = peerOf(subject, api);
  for (const { direction, peer: index, protocol, port, type } of packets) {
    const { peer, id } = peers[index % peers.length] ?? { peer: own, id: 0 };
    const isIcmp = protocol === 1 || protocol === 58;
    const hasPorts = isIcmp || protocol === 6 || protocol === 17 || protocol === 132;
    const number = isIcmp ? type : hasPorts ? port : 0;
    const expected = evaluate(objects, own, peer, { direction, protocol, port: number }, SERVICES);
    const actual = lookup({ direction, identity: id, protocol, port: isIcmp ? type << 8 : number });
    const context = JSON.stringify({ direction, protocol, number, id, labels: peer.labels });
    const verdict = actual.verdict === "redirect" ? "allow" : actual.verdict;
    expect(verdict, context).toBe(expected.verdict);
    const seen = expected.proxied || expected.watchers.length > 0;
    expect(actual.verdict === "redirect", context).toBe(seen);
    if (actual.entry?.l7) assertL7(actual.entry.l7, expected, context);
    for (const request of expected.proxied ? REQUESTS : []) {
      const passes =
        expected.anyRequest ||
        expected.http.some((rule) =>
          requestMatches(
            Object.entries(rule).map(([key, value]) => ({ key, value: String(value) })),
            request,
          ),
        );
      const rules = actual.entry?.l7?.rules ?? [];
      expect(
        rules.some((rule) => requestMatches(rule, request)),
        context,
      ).toBe(passes);
    }
    const names = (actual.entry?.origins ?? []).map((origin) => origin.name);
    for (const name of names) expect(expected.policies.has(name), context).toBe(true);
    if (expected.policies.size > 0) expect(names.length, context).toBeGreaterThan(0);
    cases++;
  }
}
