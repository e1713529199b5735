/** What is shared and kept between changes; that it is right is enforce/incremental.test.ts. */
import { expect, test } from "vitest";
import { PolicyConflictError } from "./resolver.ts";
import type { Rule } from "./rule.ts";
import { SelectorCache } from "./selector-cache.ts";
import { SubjectPolicies, type SubjectResult } from "./subject-policies.ts";
import { SubjectPolicy } from "./subject-policy.ts";
import {
  CLIENT,
  cnp,
  IDENTITIES,
  lines,
  port80,
  repositoryOf,
  SUBJECT,
  visibility,
} from "./testing/small-world.ts";
import type { PolicySubject } from "./types.ts";

const TWIN: PolicySubject = { ...SUBJECT, endpoint: 2, name: "web-2" };
const OTHER: PolicySubject = { ...SUBJECT, endpoint: 3, identity: CLIENT, name: "client-1" };
const SUBJECTS = [SUBJECT, TWIN, OTHER];

function create() {
  const cache = new SelectorCache(IDENTITIES);
  const policies = new SubjectPolicies(cache);
  const resolve = (rules: readonly Rule[], subjects = SUBJECTS): SubjectResult["outcome"][] =>
    policies.resolve({ rules, subjects, namedPortsOf: () => [] }).map(({ outcome }) => outcome);
  return { cache, resolve };
}

const versions = (outcomes: SubjectResult["outcome"][]): number[] =>
  outcomes.map((outcome) => (outcome instanceof SubjectPolicy ? outcome.version : -1));

const rulesOf = (...texts: string[]): Rule[] => [...repositoryOf(...texts).rules()];
const FROM_CLIENT = "ingress: [{fromEndpoints: [{matchLabels: {app: client}}]}]";

test("endpoints that no rule tells apart share one policy, which is kept", () => {
  const { resolve } = create();
  const rules = rulesOf(cnp("a", FROM_CLIENT));
  const first = resolve(rules);
  expect([first[0] === first[1], first[0] === first[2]]).toEqual([true, false]);
  const again = resolve(rules);
  expect(again.map((outcome, index) => outcome === first[index])).toEqual([true, true, true]);
});

test("a change touches only what it selects", () => {
  const { cache, resolve } = create();
  const rules = rulesOf(cnp("a", FROM_CLIENT));
  const before = versions(resolve(rules));
  expect(versions(resolve(rules))).toEqual(before);
  let last = before;
  /** Which of web, its twin and the client have other entries than before. */
  const touched = (now: Rule[]): boolean[] => {
    const [old, all] = [last, versions(resolve(now))];
    last = all;
    return all.map((version, index) => version !== old[index]);
  };
  cache.upsert({ ...CLIENT, id: 300 });
  expect(touched(rules)).toEqual([true, true, false]);
  cache.upsert({ ...CLIENT, id: 301, labels: [] });
  expect(touched(rules)).toEqual([false, false, false]);
  const more = [...rules, ...rulesOf(cnp("b", "ingress: [{fromEntities: [host]}]"))];
  expect(touched(more)).toEqual([true, true, false]);
});

test("identities with the same rules share; who is told apart goes on with a copy", () => {
  const { resolve } = create();
  const first = { ...SUBJECT, endpoint: 4 };
  const labels = [...SUBJECT.identity.labels, { source: "k8s", key: "tier", value: "a" }];
  const second = { ...SUBJECT, endpoint: 5, identity: { id: 300, labels } };
  const rules = rulesOf(cnp("a", FROM_CLIENT));
  const policiesOf = (now: Rule[], subjects: PolicySubject[]): SubjectPolicy[] =>
    resolve(now, subjects).filter((outcome) => outcome instanceof SubjectPolicy);
  const [shared, same] = policiesOf(rules, [first, second]);
  expect(same).toBe(shared);
  const settled = shared?.version;
  shared?.settle();
  const own = cnp("b", "ingress: [{fromEntities: [host]}]").replace("app: web", "tier: a");
  const [kept, copy] = policiesOf([...rules, ...rulesOf(own)], [first, second]);
  expect([kept === shared, copy === shared]).toEqual([true, false]);
  // The one has not changed, the other has, from what both had.
  expect([kept?.version, copy?.settled]).toEqual([settled, settled]);
  expect(copy?.version).not.toBe(settled);
  // Relabelled, so that the rule is for it no more: its policy changes, and stays its own.
  const relabelled = { ...second, identity: { ...SUBJECT.identity, id: 301 } };
  const [, changed] = policiesOf([...rules, ...rulesOf(own)], [first, relabelled]);
  expect(changed).toBe(copy);
  expect(lines(changed?.entries ?? [])).toEqual(lines(kept?.entries ?? []));
});

test("a rule for one endpoint by name is for no other, whenever it comes", () => {
  const { resolve } = create();
  resolve([]);
  const spec = 'endpoint: web-1, plugin: redis, ports: [{port: "80", protocol: TCP}]';
  const [web, twin] = resolve(rulesOf(visibility("v", spec)));
  const seen = (outcome: SubjectResult["outcome"] | undefined): string[] =>
    outcome instanceof SubjectPolicy ? lines(outcome.entries) : ["none"];
  expect(seen(web)).toEqual(["0 0:0/0 allow", "0 6:80/16 redis observe/open [*]"]);
  expect(seen(twin)).toEqual(["0 0:0/0 allow"]);
});

test("after a contradiction is gone, what was missed meanwhile counts", () => {
  const { cache, resolve } = create();
  const peer = "fromEndpoints: [{matchLabels: {app: client}}]";
  const redis = rulesOf(cnp("a", `ingress: [{${peer}, ${port80("l7proto: redis")}}]`));
  const http = rulesOf(cnp("b", `ingress: [{${peer}, ${port80("http: [{}]")}}]`));
  resolve(redis);
  const [web, , client] = resolve([...redis, ...http]);
  expect([web instanceof PolicyConflictError, client instanceof SubjectPolicy]).toEqual([
    true,
    true,
  ]);
  cache.upsert({ ...CLIENT, id: 300 });
  resolve([...redis, ...http]);
  const [after] = resolve(redis);
  const identities = after instanceof SubjectPolicy ? [...after.identities("ingress")] : [];
  expect(identities).toEqual([0, 257, 300]);
});

test("isolation that comes and goes sets rules aside and takes them up again", () => {
  const { resolve } = create();
  const [allow] = rulesOf(cnp("a", FROM_CLIENT));
  const [isolate] = rulesOf(cnp("b", "ingress: [{}]"));
  if (!allow || !isolate) throw new Error("Cannot test: no rules");
  const baseline: Rule = {
    ...{ ...allow, tier: "baseline", unlessIsolated: true },
    defaultDeny: { ingress: false, egress: false },
  };
  const closed: Rule = { ...isolate, isolates: true };
  const seen = (rules: Rule[]): string[] => {
    const [outcome] = resolve(rules);
    return outcome instanceof SubjectPolicy ? lines(outcome.entries) : ["none"];
  };
  const asked = ["257 0:0/0 allow"];
  expect(seen([baseline, isolate])).toEqual(asked);
  expect(seen([baseline, closed])).toEqual([]);
  expect(seen([baseline, isolate])).toEqual(asked);
  expect(seen([closed])).toEqual([]);
  expect(seen([closed, baseline])).toEqual([]);
  expect(seen([baseline])).toEqual(["0 0:0/0 allow", ...asked]);
});
