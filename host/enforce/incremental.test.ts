/**
 * Random changes of rules, identities and endpoints. What is kept between changes must come to what
 * is computed from nothing, and what is written to a map must leave it as if it were written whole,
 * without a moment at which a packet meets what neither the old nor the new rules say. IMKER_SEED
 * repeats a run.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodePolicy } from "../datapath/abi.ts";
import { LAYOUT } from "../datapath/layout.ts";
import { POLICY_ENTRIES_MAX } from "../datapath/policy-map.ts";
import { type PolicyRows, RowPacker } from "../datapath/policy-rows.ts";
import type { PolicyMapEntry } from "../datapath/types.ts";
import { cidrLabels, parsePrefix } from "../identity/cidr.ts";
import { k8sLabel } from "../identity/label.ts";
import { PolicyConflictError, resolvePolicy, SelectorCache } from "../policy/index.ts";
import { createLookup } from "../policy/lookup.ts";
import { ruleOf } from "../policy/oracle/generate-rules.ts";
import type { Rule } from "../policy/rule.ts";
import { SubjectPolicies } from "../policy/subject-policies.ts";
import { SubjectPolicy } from "../policy/subject-policy.ts";
import type { Identity, PolicySubject, ResolvedEntry } from "../policy/types.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { Planner } from "./planner.ts";
import { RuleSets } from "./rule-sets.ts";
import type { PolicyContent } from "./types.ts";

const RUNS = 60;
const SEED = Number(process.env.IMKER_SEED ?? Date.now() % 0x7fffffff);

const APPS = ["web", "db", "client"];
const prefix = parsePrefix("10.1.0.0/16");
const CIDR_ID = (1 << 24) + 1;

/** What one identity number may stand for; undefined: it is not there. */
const identityOf = fc.constantFrom<((id: number) => Identity) | undefined>(
  ...APPS.map((app) => (id: number) => ({ id, labels: [k8sLabel("app", app)] })),
  (id) => ({ id, labels: [k8sLabel("app", "web"), k8sLabel("tier", "db")] }),
  (id) => ({ id, labels: prefix ? cidrLabels(prefix) : [] }),
  undefined,
);

type Change =
  | { kind: "add"; rule: Rule }
  | { kind: "remove"; index: number }
  | { kind: "identity"; id: number; make: ((id: number) => Identity) | undefined }
  | { kind: "subject"; index: number }
  | { kind: "relabel"; index: number; identity: number };

const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: ruleOf(["l7-http", "l7-http", "redis"]).map((rule) => ({
      kind: "add" as const,
      rule,
    })),
  },
  { weight: 2, arbitrary: fc.nat(20).map((index) => ({ kind: "remove" as const, index })) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("identity" as const),
      id: fc.constantFrom(256, 257, 258, 259, 260, CIDR_ID),
      make: identityOf,
    }),
  },
  { weight: 1, arbitrary: fc.nat(4).map((index) => ({ kind: "subject" as const, index })) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("relabel" as const),
      index: fc.nat(4),
      identity: fc.nat(3),
    }),
  },
);

const NAMED = [{ name: "http", port: 8080, protocol: 6 }];
/** Of those that endpoints may have; the last is told from the first by some rules only. */
const OWN: Identity[] = [
  ...APPS.map((app, index) => ({ id: 300 + index, labels: [k8sLabel("app", app)] })),
  { id: 310, labels: [k8sLabel("app", "web"), k8sLabel("tier", "db")] },
];
const SUBJECTS = [0, 3, 1, 2, 0].flatMap((own, index): PolicySubject[] => {
  const identity = OWN[own];
  if (!identity) return [];
  return [{ endpoint: index + 1, identity, namespace: "default", namedPorts: NAMED }];
});
const namedPortsOf = (id: number) => (id % 2 === 0 ? NAMED : []);

/** Everything that is kept between changes, and the maps as the kernel would have them. */
class World {
  readonly cache = new SelectorCache();
  readonly policies = new SubjectPolicies(this.cache);
  readonly planner: Planner;
  readonly identities = new Map<number, Identity>();
  readonly subjects = new Map(SUBJECTS.slice(0, 4).map((one) => [one.endpoint, one]));
  readonly maps = new Map<
    number,
    { rows: Map<string, string>; content: PolicyContent; version: number }
  >();
  rules: Rule[] = [];

  constructor() {
    const store = new SqliteStore(":memory:");
    const ruleSets = new RuleSets(store, {
      ...{ services: () => [], versions: () => [], digestsFor: () => ["sha256:x"] },
      compile: () => ({ digest: "sha256:x", bytes: new Uint8Array() }) as never,
    });
    this.planner = new Planner(store, ruleSets);
  }

  apply(one: Change): void {
    if (one.kind === "add") this.rules.push(one.rule);
    else if (one.kind === "remove") this.rules.splice(one.index % (this.rules.length + 1), 1);
    else if (one.kind === "subject") {
      const subject = SUBJECTS[one.index];
      if (!subject || this.subjects.delete(subject.endpoint)) return;
      this.maps.delete(subject.endpoint);
      this.subjects.set(subject.endpoint, subject);
    } else if (one.kind === "relabel") {
      const subject = this.subjects.get(one.index + 1);
      const identity = OWN[one.identity];
      if (subject && identity) this.subjects.set(subject.endpoint, { ...subject, identity });
    } else if (one.make) {
      const identity = one.make(one.id);
      this.identities.set(one.id, identity);
      this.cache.upsert(identity);
    } else {
      this.identities.delete(one.id);
      this.cache.remove(one.id);
    }
  }

  /** Compares with nothing kept, and brings the maps along. */
  step(): void {
    const subjects = [...this.subjects.values()];
    const results = this.policies.resolve({ rules: [...this.rules], subjects, namedPortsOf });
    const endpoints = results.flatMap(({ subject, outcome }) => {
      expect(textOf(outcome)).toEqual(this.#fromNothing(subject));
      return outcome instanceof SubjectPolicy
        ? [{ endpoint: subject.endpoint, policy: outcome }]
        : [];
    });
    const plan = this.planner.plan({ endpoints, prefixes: new Map() });
    for (const { endpoint, content } of plan.endpoints) this.#write(endpoint, content);
    for (const { content } of plan.endpoints) content.settle();
  }

  #fromNothing(subject: PolicySubject): string[] {
    try {
      const { rules, identities } = this;
      return textOf(resolvePolicy(rules, identities.values(), subject, { namedPortsOf }));
    } catch (error) {
      if (error instanceof PolicyConflictError) return textOf(error);
      throw error;
    }
  }

  #write(endpoint: number, content: PolicyContent): void {
    const whole = rowsOf(content.pack(new RowPacker(POLICY_ENTRIES_MAX)));
    expect(whole.size).toBe(content.count);
    const map = this.maps.get(endpoint);
    const delta = map && content.changeFrom(map.version);
    if (map && delta) {
      const before = new Map(map.rows);
      const ask = (rows: ReadonlyMap<string, string>) => decisions(rows);
      const [old, wanted] = [ask(before), ask(whole)];
      const checkMoment = (): void => {
        ask(map.rows).forEach((decision, index) => {
          expect([old[index], wanted[index]]).toContain(decision);
        });
      };
      for (const [key, value] of rowsOf(delta.upserts)) {
        map.rows.set(key, value);
        checkMoment();
      }
      for (const key of rowsOf(delta.deletes).keys()) {
        map.rows.delete(key);
        checkMoment();
      }
      inPlace++;
      if (map.content !== content) toldApart++;
      expect(map.rows).toEqual(whole);
    }
    this.maps.set(endpoint, { rows: whole, content, version: content.version });
  }
}

/** Entries in an order of their own, or the contradiction. */
function textOf(outcome: { entries: readonly ResolvedEntry[] } | PolicyConflictError): string[] {
  if (outcome instanceof PolicyConflictError) return ["a contradiction"];
  return outcome.entries.map((entry) => JSON.stringify(entry, Object.keys(entry).sort())).sort();
}

/** Rows by key, in order. */
function rowsOf({ keys, values, count }: PolicyRows): Map<string, string> {
  const hex = (bytes: Uint8Array, size: number, row: number): string =>
    Buffer.from(bytes.subarray(row * size, (row + 1) * size)).toString("hex");
  return new Map(
    Array.from({ length: count }, (_, row) => [
      hex(keys, LAYOUT.policy_key.size, row),
      hex(values, LAYOUT.policy_value.size, row),
    ]),
  );
}

const PACKETS = (["ingress", "egress"] as const).flatMap((direction) =>
  [256, 257, 258, 259, 260, CIDR_ID, 9].flatMap((identity) =>
    [80, 85, 443, 8080].map((port) => ({ direction, identity, protocol: 6, port })),
  ),
);

/** What the kernel would do with each packet, as text: the verdict and the rule set. */
function decisions(rows: ReadonlyMap<string, string>): string[] {
  const entries = [...rows].map(([key, value]) => {
    return decodePolicy(Buffer.from(key, "hex"), Buffer.from(value, "hex"));
  });
  const lookup = createLookup(
    entries.map(
      (entry) => ({ ...entry, origins: [], entry }) as ResolvedEntry & { entry: PolicyMapEntry },
    ),
  );
  return PACKETS.map((packet) => {
    const { verdict, entry } = lookup(packet);
    const { ruleSet = 0, redirect = false } =
      (entry as { entry?: PolicyMapEntry } | undefined)?.entry ?? {};
    return `${verdict} ${redirect ? ruleSet : ""}`;
  });
}

let inPlace = 0;
/** Of endpoints that went on with a copy of a policy that they had shared. */
let toldApart = 0;

test(`kept state comes to what is computed from nothing (IMKER_SEED=${SEED})`, () => {
  console.log(`incremental policies: IMKER_SEED=${SEED}`);
  fc.assert(
    fc.property(
      fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 12 }),
      (steps) => {
        const world = new World();
        for (const changes of steps) {
          for (const one of changes) world.apply(one);
          world.step();
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
  console.log(`incremental policies: ${inPlace} changes in place, ${toldApart} of a copy`);
  expect(inPlace).toBeGreaterThan(30);
  expect(toldApart).toBeGreaterThan(0);
}, 180_000);
