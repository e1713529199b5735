/**
 * What tenants cost that are not there: thousands of pairs of identities, each with one short
 * connection served by a real instance of its own, and then nothing for as long as a worker keeps
 * idle instances. The pool is the worker's; only its clock is the benchmark's.
 */
import { instantiate } from "../../runtime/isolate/index.ts";
import { DIRECTION, END } from "../../runtime/isolate/types.ts";
import { createMatcher } from "../../runtime/regex/index.ts";
import { type ConnectionFacts, instanceFacts, POINT } from "../../runtime/worker/connection.ts";
import { IDLE_MS_MAX, InstancePool } from "../../runtime/worker/instance-pool.ts";
import { RuleStore } from "../../runtime/worker/rule-store.ts";
import { VersionTallies } from "../../runtime/worker/version-tally.ts";
import { RunError } from "../errors.ts";
import { atMost, type Figure } from "./figure.ts";
import { factsWith, RecordCount, request, SUBJECT, type Subject } from "./subject.ts";

const RULE_SET = 1;
/** Above the reserved identities, below those that stand for many machines. */
const FIRST_IDENTITY = 1_000;
/** As the proxy has for two workers. */
const INSTANCES_MAX = 4_096;
const MS_PER_TENANT = 1;

export function idleTenants(
  subject: Subject,
  tenants: number,
  progress: (line: string) => void,
): Figure {
  const pool = new InstancePool({
    rules: rulesOf(subject),
    tallies: new VersionTallies(),
    instantiate: (image) => instantiate(image, new RecordCount()),
    instancesMax: INSTANCES_MAX,
    memoryBytesMax: Number.POSITIVE_INFINITY,
  });
  const before = pool.size;
  let nowMs = 0;
  let most = 0;
  for (let tenant = 0; tenant < tenants; tenant++) {
    serveOnce(pool, subject, FIRST_IDENTITY + tenant, nowMs);
    most = Math.max(most, pool.size);
    nowMs += MS_PER_TENANT;
  }
  if (before !== 0 || most < Math.min(tenants, INSTANCES_MAX)) {
    const state = `${before} instances before any traffic, at most ${most} during it`;
    throw new RunError(`Cannot measure idle tenants: ${state}`);
  }
  pool.sweep(nowMs + IDLE_MS_MAX);
  progress(`${tenants} tenants, at most ${most} instances at once, ${pool.size} when idle`);
  return atMost(0, "idle_tenant_instances", pool.size, "instances");
}

function rulesOf({ image, compiled }: Subject): RuleStore {
  const rules = new RuleStore(createMatcher);
  const { digest } = image;
  rules.apply({
    revision: 1,
    images: [image],
    ruleSets: [{ id: RULE_SET, plugin: SUBJECT, mode: "enforce", failure: "closed" }],
    forms: [
      { ruleSet: RULE_SET, digest, compiled: Uint8Array.from(compiled).buffer, patterns: [] },
    ],
    keepPlugins: [digest],
    keepRuleSets: [RULE_SET],
    services: [{ plugin: SUBJECT, active: digest }],
    draining: [],
  });
  return rules;
}

/** A connection of one request, as a worker would have it. */
function serveOnce(pool: InstancePool, { image }: Subject, source: number, nowMs: number): void {
  const { stages: _, ...ends } = factsWith(0);
  const facts: ConnectionFacts = {
    ...ends,
    sourceIdentity: source,
    sides: [
      { point: POINT.egress, endpoint: 0, ruleSet: 0, cookie: 0 },
      { point: POINT.ingress, endpoint: 1, ruleSet: RULE_SET, cookie: 0 },
    ],
  };
  const pooled = pool.acquire(image, "serve", facts, nowMs);
  if (typeof pooled === "string") throw new RunError(`Cannot serve a tenant: ${pooled}`);
  const { instance } = pooled;
  const handle = instance.open(instanceFacts(facts, pooled));
  const bytes = request();
  instance.onData(handle, DIRECTION.request, bytes, 0, bytes.length, END.open, 0, 1);
  instance.close(handle);
  pool.left(pooled, nowMs);
}
