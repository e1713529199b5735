/**
 * Random policies, endpoints and packets through the real BPF programs: what the oracle says of the
 * YAML, what the look-up finds in the resolver's entries, and what the kernel decides and reports
 * must be the same. Policies come in two steps, so that maps are changed in place and connections
 * live on under other policies. IMKER_SEED repeats a run.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import type { Run } from "../../datapath/testdata/program-bench.ts";
import { reasons, verdicts } from "../../datapath/testdata/two-pods.ts";
import { createLookup, watchesOnly } from "../index.ts";
import type { PolicyDecision, PolicyPacket } from "../lookup.ts";
import { evaluate, type OracleVerdict } from "./evaluate.ts";
import { policyObjects } from "./generate.ts";
import { SERVICES } from "./generate-parts.ts";
import { type KernelModes, PolicyKernel } from "./kernel.ts";
import { parse, repositoryOf } from "./resolve-objects.ts";
import { type Sent, type Side, type Subject, type Traffic, toSent, traffic } from "./traffic.ts";
import { type ApiPlaces, NODE, type Pod, peerOf, SUBJECTS, type WorldPeer } from "./world.ts";

const RUNS = 400;
const PACKETS_PER_RUN = 160;
const SEED = Number(process.env.IMKER_SEED ?? Date.now() % 0x7fffffff);
const MATCHES = ["none", "L3-Only", "L3-L4", "L4-Only", "all", "L3-Proto", "Proto-Only"];
const VERDICTS = { allow: 0, redirect: 1, deny: -181, drop: -133 } as const;
const DROP_FRAGMENT = 157;
const DROP_NO_PROXY = 220;
const DROP_PROXY_LOOKUP = 178;
const DROP_PROXIED_CHANGED = 221;
const DROP_NO_PLUGIN = 222;
const WITH_PORTS = [6, 17, 132];

let kernel: PolicyKernel;
let cases = 0;
let lives = 0;
beforeAll(() => {
  kernel = new PolicyKernel();
});
afterAll(() => kernel?.close());

type Objects = Parameters<typeof evaluate>[0];
type Look = (packet: PolicyPacket) => PolicyDecision;

interface Scenario {
  objects: Objects;
  subjects: Readonly<Record<Subject, Pod>>;
  looks: Readonly<Record<Subject, Look>>;
  peers: readonly WorldPeer[];
  modes: KernelModes;
  api: ApiPlaces;
}

interface Load {
  packets: Traffic[];
  modes: KernelModes;
  api: ApiPlaces;
}

/** A packet that opened a connection. */
interface Live {
  what: Traffic;
  id: number;
}

/** What one side says, by the two that do not know the kernel. */
interface Opinion {
  side: Side;
  oracle: OracleVerdict;
  decision: PolicyDecision;
}

test(`oracle, look-up and kernel agree (IMKER_SEED=${SEED})`, async () => {
  console.log(`kernel oracle: IMKER_SEED=${SEED}`);
  const pod = fc.constantFrom(...SUBJECTS);
  const packets = fc.array(traffic, { minLength: 1, maxLength: PACKETS_PER_RUN, size: "max" });
  const rarely = fc.constantFrom(...new Array<boolean>(7).fill(false), true);
  const modes = fc.record({ audit: rarely, hostByPolicy: fc.boolean() });
  const api = fc.record({ outside: fc.boolean(), here: fc.boolean() });
  const load = fc.record({ packets, modes, api });
  await fc.assert(
    fc.asyncProperty(policyObjects, pod, pod, load, async (objects, own, neighbour, sent) => {
      await checkRun(objects, [own, neighbour], sent);
    }),
    { seed: SEED, numRuns: RUNS },
  );
  console.log(`kernel oracle: ${cases} packets, ${lives} of live connections`);
  expect(cases).toBeGreaterThan(20_000);
  expect(lives).toBeGreaterThan(200);
}, 180_000);

async function checkRun(objects: Objects, pods: [Pod, Pod], { packets, modes, api }: Load) {
  const subject = (pod: Pod, endpoint: number) => ({ endpoint, ...pod });
  kernel.begin([subject(pods[0], 1), subject(pods[1], 2)], { ...modes, api });
  const subjects = { pod: pods[0], neighbour: pods[1], node: NODE };
  const half = objects.length >> 1;
  const steps = [
    { objects: objects.slice(0, half), packets: packets.slice(0, 12) },
    { objects, packets },
  ];
  const repository = repositoryOf([]);
  let live: Live[] = [];
  for (const step of steps) {
    repository.upsertAll(parse(step.objects));
    const { policies, peers } = await kernel.enforce(repository);
    const [pod, neighbour, node] = policies.map(({ entries }) => createLookup(entries));
    if (!pod || !neighbour || !node) throw new Error("no policy");
    const looks = { pod, neighbour, node };
    const scenario = { objects: step.objects, subjects, looks, peers, modes, api };
    checkLive(scenario, live);
    kernel.forget();
    live = checkPackets(scenario, step.packets);
  }
}

/** Returns what opened connections that are still known. */
function checkPackets(scenario: Scenario, packets: readonly Traffic[]): Live[] {
  const seen = new Set<string>();
  let live: Live[] = [];
  packets.forEach((what, id) => {
    const sent = toSent(what, scenario.peers, id);
    const { source, destination } = sent.frame;
    // What has no port to tell connections apart must not be taken for an answer.
    const own = WITH_PORTS.includes(sent.protocol) ? id : "";
    const connection = [[source, destination].sort(), sent.protocol, own].join(" ");
    if (seen.has(connection)) {
      kernel.forget();
      live = [];
    }
    seen.add(connection);
    const { opinions, run } = ask(scenario, sent);
    const problem = disagreement(scenario, opinions, run, sent);
    if (problem !== undefined) throw new Error(explain(scenario, sent, opinions, run, problem));
    if (what.piece === "first") checkNextPiece(sent, run);
    if (what.piece === "whole" && !isDropped(run)) live.push({ what, id });
    cases++;
  });
  return live;
}

/** Connections of the last step: their next packets are judged by the policies of this one. */
function checkLive(scenario: Scenario, live: readonly Live[]): void {
  for (const { what, id } of live) {
    const sent = toSent({ ...what, syn: false }, scenario.peers, id);
    const { opinions, run } = ask(scenario, sent);
    lives++;
    const denial = opinions.map((one) => verdictOf(scenario, one, sent)).find((one) => one < 0);
    const changed = needsProxy(scenario, opinions, sent) ? DROP_PROXIED_CHANGED : undefined;
    const expected = denial === undefined ? changed : -denial;
    if (reasons(run)[0] === expected) continue;
    const problem = `a live connection fares ${reasons(run)}, not ${expected}`;
    throw new Error(explain(scenario, sent, opinions, run, problem));
  }
}

function ask(scenario: Scenario, sent: Sent): { opinions: Opinion[]; run: Run } {
  const opinions = sent.sides.map((side) => opinionOf(scenario, side, sent));
  return { opinions, run: kernel.send(sent.hook, sent.frame) };
}

/** A later piece of a datagram fares as its first one did. */
function checkNextPiece({ hook, frame }: Sent, first: Run): void {
  if (frame.fragment === undefined) return;
  const next = kernel.send(hook, { ...frame, fragment: { ...frame.fragment, offset: 1480 } });
  expect(isDropped(next), JSON.stringify(frame)).toBe(isDropped(first));
}

/** A reset may go out in the packet's place, so the result does not say. */
const isDropped = (run: Run): boolean => reasons(run).length > 0;

function opinionOf({ objects, subjects, looks, api }: Scenario, side: Side, sent: Sent): Opinion {
  const { direction, subject } = side;
  const { protocol, port } = sent;
  const { id: identity, peer } =
    typeof side.peer === "string" ? asPeer(subjects[side.peer], api) : side.peer;
  const isIcmp = protocol === 1 || protocol === 58;
  const keyPort = isIcmp && port !== undefined ? port << 8 : port;
  const decision = looks[subject]({ direction, identity, protocol, port: keyPort });
  const packet = { direction, protocol, port };
  const oracle = evaluate(objects, peerOf(subjects[subject], api), peer, packet, SERVICES);
  return { side, oracle, decision };
}

function asPeer(pod: Pod, api: ApiPlaces): WorldPeer {
  return { id: pod.identity.id, peer: peerOf(pod, api) };
}

/** What the kernel is to tell of one side. */
function verdictOf({ modes }: Scenario, { side, decision }: Opinion, sent: Sent): number {
  const { audit, hostByPolicy } = modes;
  const verdict = VERDICTS[decision.verdict];
  const isOfHost = sent.hook === "from-host" && side.direction === "ingress";
  // The node may always reach its pods, and needs no proxy for it.
  if (isOfHost && !hostByPolicy && verdict !== VERDICTS.deny) return VERDICTS.allow;
  // Or it may not, and then has none.
  if (isOfHost && verdict === VERDICTS.redirect) {
    const l7 = decision.entry?.l7;
    return l7 && watchesOnly(l7) ? VERDICTS.allow : -DROP_NO_PLUGIN;
  }
  if (verdict < 0 && audit) return VERDICTS.allow;
  return sent.frame.fragment?.offset && verdict === VERDICTS.drop ? -DROP_FRAGMENT : verdict;
}

/** A side hands over, and not only to let somebody watch. */
function needsProxy(scenario: Scenario, opinions: readonly Opinion[], sent: Sent): boolean {
  const redirects = opinions.filter((one) => verdictOf(scenario, one, sent) === VERDICTS.redirect);
  return redirects.some(({ decision: { entry } }) => entry?.l7 && !watchesOnly(entry.l7));
}

/** Undefined: all three agree. */
function disagreement(
  scenario: Scenario,
  opinions: readonly Opinion[],
  run: Run,
  sent: Sent,
): string | undefined {
  const events = verdicts(run);
  for (const [index, opinion] of opinions.entries()) {
    const { side, oracle, decision } = opinion;
    const plain = decision.verdict === "redirect" ? "allow" : decision.verdict;
    if (plain !== oracle.verdict) return `the oracle says ${oracle.verdict}, the look-up ${plain}`;
    const names = (decision.entry?.origins ?? []).map(({ name }) => name);
    if (names.some((name) => !oracle.policies.has(name))) return `not of these policies: ${names}`;
    const verdict = verdictOf(scenario, opinion, sent);
    const [told, actual, match, cookie] = events[index] ?? [];
    if (told !== side.direction) return `the kernel told nothing of ${side.direction}`;
    if (actual !== verdict) return `the kernel's verdict is ${actual}, not ${verdict}`;
    if (MATCHES[Number(match)] !== decision.match) return `the kernel's match is ${match}`;
    const origins = JSON.stringify(kernel.originsOf(Number(cookie)));
    if (origins !== JSON.stringify(decision.entry?.origins ?? [])) return `cookie of ${origins}`;
    if (verdict >= 0) continue;
    return reasons(run)[0] === -verdict ? undefined : `dropped for ${reasons(run)}`;
  }
  // There is no proxy.
  const noProxy = sent.frame.flags === 2 ? DROP_NO_PROXY : DROP_PROXY_LOOKUP;
  const expected = needsProxy(scenario, opinions, sent) ? noProxy : undefined;
  return reasons(run)[0] === expected ? undefined : `dropped for ${reasons(run)}`;
}

function explain(
  { objects, subjects }: Scenario,
  sent: Sent,
  opinions: readonly Opinion[],
  run: Run,
  problem: string,
): string {
  const labels = (one: { labels: readonly { source: string; key: string; value: string }[] }) =>
    one.labels.map(({ source, key, value }) => `${source}:${key}=${value}`).join(" ");
  const lines = [
    ...objects.map((object) => `---\n${stringify(object)}`),
    `pod: ${labels(subjects.pod.identity)}`,
    `neighbour: ${labels(subjects.neighbour.identity)}`,
    `${sent.hook} ${JSON.stringify({ ...sent.frame, payload: undefined })}`,
    ...opinions.map(({ side, oracle, decision }) => {
      const known = side.peer;
      const peer = typeof known === "string" ? known : `${known.id} ${labels(known.peer)}`;
      const said = `${oracle.verdict} / ${decision.verdict} ${decision.match}`;
      return `${side.direction} of ${side.subject}, ${peer}: ${said}`;
    }),
    `kernel: ${run.result} ${JSON.stringify(verdicts(run))} dropped for ${reasons(run)}`,
    problem,
  ];
  return lines.join("\n");
}
