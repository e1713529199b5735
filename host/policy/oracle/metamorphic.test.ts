/**
 * What must hold of policies whatever they say, without asking what they mean: order counts not,
 * a policy may be cut in two, a deny never allows, and a wider range of ports never denies.
 * IMKER_SEED repeats a run.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { createLookup } from "../index.ts";
import type { Yaml } from "./evaluate-labels.ts";
import { denials, policyObjects } from "./generate.ts";
import { PORTS } from "./generate-parts.ts";
import { resolveObjects } from "./resolve-objects.ts";
import { NODE, type Pod, SUBJECTS } from "./world.ts";

const RUNS = 120;
const SEED = Number(process.env.IMKER_SEED ?? Date.now() % 0x7fffffff);
const PROTOCOLS = [6, 17, 47];
const API = { outside: true, here: true };
const subject = fc.constantFrom(...SUBJECTS, NODE);

/** Verdicts by packet, as text; every peer, direction, protocol and port. */
function verdictsOf(objects: readonly Yaml[], pod: Pod) {
  const { resolved, peers } = resolveObjects(objects, pod, API);
  const lookup = createLookup(resolved.entries);
  const verdicts = new Map<string, string>();
  for (const direction of ["ingress", "egress"] as const) {
    for (const { id, ipv4, ipv6 } of peers) {
      for (const protocol of PROTOCOLS) {
        for (const port of protocol === 47 ? [undefined] : PORTS) {
          const { verdict, entry } = lookup({ direction, identity: id, protocol, port });
          const l7 = entry?.l7 ? ` ${JSON.stringify(entry.l7)}` : "";
          const key = `${direction} ${ipv4 ?? ipv6} ${protocol} ${port}`;
          verdicts.set(key, verdict + l7);
        }
      }
    }
  }
  return verdicts;
}

const isAllowed = (verdict = ""): boolean => /^(allow|redirect)/.test(verdict);

/** Nothing that `loose` refuses is let through by `tight`. */
function allowsNoMore(tight: ReadonlyMap<string, string>, loose: ReadonlyMap<string, string>) {
  for (const [packet, verdict] of tight) {
    if (isAllowed(verdict)) expect(isAllowed(loose.get(packet)), packet).toBe(true);
  }
}

const isCilium = ({ kind }: Yaml): boolean =>
  kind === "CiliumNetworkPolicy" || kind === "CiliumClusterwideNetworkPolicy";
const rulesOf = ({ spec, specs = [] }: Yaml): Yaml[] => (spec ? [spec, ...specs] : specs);
const LISTS = ["ingress", "ingressDeny", "egress", "egressDeny"];

/** Each item of a Cilium policy as a policy of its own. */
function inPieces(object: Yaml): Yaml[] {
  if (!isCilium(object)) return [object];
  const { spec: _, specs: __, ...rest } = object;
  const pieces = rulesOf(object).flatMap((rule) => {
    const has = (list: string): boolean => (rule[list] ?? []).length > 0;
    const enableDefaultDeny = {
      ingress: rule.enableDefaultDeny?.ingress ?? (has("ingress") || has("ingressDeny")),
      egress: rule.enableDefaultDeny?.egress ?? (has("egress") || has("egressDeny")),
    };
    const { endpointSelector, nodeSelector } = rule;
    const whom = nodeSelector ? { nodeSelector } : { endpointSelector };
    return LISTS.flatMap((list) =>
      (rule[list] ?? []).map((item: Yaml) => ({ ...whom, enableDefaultDeny, [list]: [item] })),
    );
  });
  return pieces.map((spec, index) => {
    const metadata = { ...object.metadata, name: `${object.metadata.name}-${index}` };
    return { ...rest, metadata, spec };
  });
}

/** Without L7 rules; `widened`: from each port of an allow rule up to the last one. */
function plain(object: Yaml, widened: boolean): Yaml {
  const copy = structuredClone(object);
  for (const rule of isCilium(copy) ? rulesOf(copy) : []) {
    for (const item of [...(rule.ingress ?? []), ...(rule.egress ?? [])]) {
      for (const ports of item.toPorts ?? []) {
        delete ports.rules;
        for (const port of widened ? ports.ports : []) {
          if (/^[1-9]/.test(port.port ?? "")) port.endPort = 65_535;
        }
      }
    }
  }
  return copy;
}

const parameters = { seed: SEED, numRuns: RUNS };
console.log(`metamorphic: IMKER_SEED=${SEED}`);

test(`the order of policies does not count (IMKER_SEED=${SEED})`, () => {
  const property = fc.property(policyObjects, fc.nat(), subject, (objects, by, pod) => {
    const at = objects.length === 0 ? 0 : by % objects.length;
    const turned = [...objects.slice(at), ...objects.slice(0, at)].reverse();
    expect(verdictsOf(turned, pod)).toEqual(verdictsOf(objects, pod));
  });
  fc.assert(property, parameters);
}, 60_000);

test(`a policy may be cut in pieces (IMKER_SEED=${SEED})`, () => {
  const property = fc.property(policyObjects, subject, (objects, pod) => {
    expect(verdictsOf(objects.flatMap(inPieces), pod)).toEqual(verdictsOf(objects, pod));
  });
  fc.assert(property, parameters);
}, 60_000);

test(`one deny more never allows more (IMKER_SEED=${SEED})`, () => {
  const property = fc.property(policyObjects, denials, subject, (objects, extra, pod) => {
    allowsNoMore(verdictsOf([...objects, extra], pod), verdictsOf(objects, pod));
  });
  fc.assert(property, parameters);
}, 60_000);

test(`a wider range of an allow rule never denies (IMKER_SEED=${SEED})`, () => {
  const property = fc.property(policyObjects, subject, (objects, pod) => {
    const [narrow, wide] = [false, true].map((widened) =>
      verdictsOf(
        objects.map((object) => plain(object, widened)),
        pod,
      ),
    );
    if (narrow && wide) allowsNoMore(narrow, wide);
  });
  fc.assert(property, parameters);
}, 60_000);
