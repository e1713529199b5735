/**
 * The world of the policy benchmark: pods of many namespaces, apps and tiers, and policies as
 * people write them: a few peers, a few ports, some HTTP rules, some denials, some addresses. Every
 * policy is for one tier of one namespace. Random choices come from a seed, so runs are comparable.
 */
import { podLabels } from "../../host/identity/pod-labels.ts";
import type { Label } from "../../host/policy/types.ts";

export interface WorldSize {
  identities: number;
  policies: number;
  endpoints: number;
  /** Every endpoint is of another tier or namespace, so no two have the same rules. */
  ownRules?: boolean;
}

const NAMESPACES = 20;
const TIERS = 5;
const APPS_PER_NAMESPACE = 50;

/** Numbers from 0 up to `below`. */
export type Random = (below: number) => number;

/** A small generator (mulberry32): the same sequence everywhere. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function namespaceOf(pod: number): string {
  return `team-${pod % NAMESPACES}`;
}

/** The pod that an endpoint is of: of one tier, so those of a namespace have the same rules. */
export function podOf(endpoint: number, { identities, endpoints, ownRules }: WorldSize): number {
  if (ownRules) return endpoint % identities;
  const spread = Math.floor((endpoint * identities) / endpoints);
  return (spread + (endpoint % NAMESPACES)) % identities;
}

/** Another pod of the same namespace, app and tier. */
export function siblingOf(pod: number): number {
  return pod + NAMESPACES * APPS_PER_NAMESPACE;
}

/** Labels of pod number `pod`; each number gives an identity of its own. */
export function labelsOf(pod: number): Label[] {
  const inNamespace = Math.floor(pod / NAMESPACES);
  return podLabels({
    namespace: namespaceOf(pod),
    labels: {
      app: `app-${inNamespace % APPS_PER_NAMESPACE}`,
      tier: `tier-${inNamespace % TIERS}`,
      instance: `pod-${pod}`,
    },
  });
}

/** One policy as YAML (JSON is YAML). `name` decides what it says; `random` the details. */
export function policyText(index: number, random: Random, name = `policy-${index}`): string {
  const namespace = `team-${index % NAMESPACES}`;
  const tier = `tier-${Math.floor(index / NAMESPACES) % TIERS}`;
  const spec = {
    endpointSelector: { matchLabels: { tier } },
    ingress: Array.from({ length: 2 }, () => ingressItem(random)),
    egress: [egressItem(random)],
    ...(random(10) === 0 ? { ingressDeny: [{ fromEndpoints: [app(random)] }] } : {}),
  };
  return document("CiliumNetworkPolicy", { name, namespace }, spec);
}

/** For every endpoint of the node: pods of one app of a namespace may reach one port. */
export function clusterwideText(random: Random, name: string): string {
  const peer = {
    matchLabels: { "k8s:io.kubernetes.pod.namespace": team(random), ...app(random).matchLabels },
  };
  const ports = [{ port: String(9000 + random(500)), protocol: "TCP" }];
  const spec = { endpointSelector: {}, ingress: [{ fromEndpoints: [peer], toPorts: [{ ports }] }] };
  return document("CiliumClusterwideNetworkPolicy", { name }, spec);
}

/** For every endpoint of the node: every pod of the cluster may reach one port. */
export function everybodyText(name: string): string {
  const toPorts = [{ ports: [{ port: "19999", protocol: "TCP" }] }];
  const spec = { endpointSelector: {}, ingress: [{ fromEndpoints: [{}], toPorts }] };
  return document("CiliumClusterwideNetworkPolicy", { name }, spec);
}

function document(kind: string, metadata: Record<string, string>, spec: unknown): string {
  return JSON.stringify({ apiVersion: "cilium.io/v2", kind, metadata, spec });
}

function ingressItem(random: Random): unknown {
  if (random(8) === 0) return { fromCIDRSet: [block(random)], toPorts: [port(random)] };
  const http = random(4) === 0 ? { rules: { http: [{ path: `/v${random(5)}/.*` }] } } : {};
  return { fromEndpoints: [peer(random), app(random)], toPorts: [{ ...port(random), ...http }] };
}

function egressItem(random: Random): unknown {
  if (random(8) === 0) return { toEntities: ["world"], toPorts: [port(random)] };
  return { toEndpoints: [peer(random)], toPorts: [port(random)] };
}

/** One tier of another namespace: a hundredth of all pods. */
function peer(random: Random): { matchLabels: Record<string, string> } {
  const tier = `tier-${random(TIERS)}`;
  return { matchLabels: { "k8s:io.kubernetes.pod.namespace": team(random), tier } };
}

function app(random: Random): { matchLabels: Record<string, string> } {
  return { matchLabels: { app: `app-${random(APPS_PER_NAMESPACE)}` } };
}

function team(random: Random): string {
  return `team-${random(NAMESPACES)}`;
}

function block(random: Random): { cidr: string; except: string[] } {
  const second = random(200);
  return { cidr: `203.${second}.0.0/16`, except: [`203.${second}.${random(256)}.0/24`] };
}

function port(random: Random): { ports: { port: string; protocol: string }[] } {
  const ports = Array.from({ length: 1 + random(2) }, () => {
    return { port: String(1_000 + random(200)), protocol: "TCP" };
  });
  return { ports };
}
