/**
 * The policy language a second time, as a plain evaluator of one packet at a time, written from
 * the reference text and sharing no code with the resolver: tests compare the two. It reads the
 * objects as they stand in YAML and never looks at identities, prefixes of ports or precedence.
 */
import {
  type CiliumCase,
  ciliumItem,
  ciliumSubject,
  isForInit,
  type OracleService,
} from "./evaluate-cilium.ts";
import {
  kubernetesPeers,
  kubernetesPorts,
  kubernetesSelects,
  type TieredHit,
  tieredHits,
} from "./evaluate-kubernetes.ts";
import {
  isReserved,
  isWithin,
  meetsAll,
  type OraclePacket,
  type OraclePeer,
  requirements,
  type Yaml,
} from "./evaluate-labels.ts";

export type { OracleLabel, OraclePacket, OraclePeer } from "./evaluate-labels.ts";

export interface OracleVerdict {
  verdict: "allow" | "deny" | "drop";
  /** Some matching allow rule has L7 rules: the proxy sees the connection. */
  proxied: boolean;
  /** Some matching allow rule has none: every request passes. */
  anyRequest: boolean;
  /** `enforce` wins over `audit` wins over `observe`. Of what is proxied; else "". */
  mode: string;
  failure: string;
  /** L7 rules of the matching allow rules whose policies have that mode. */
  http: Yaml[];
  /** Plugins to which visibility policies show the packet: one of them sees it. */
  watchers: string[];
  /** Names of the policies whose rules match with this verdict. */
  policies: Set<string>;
}

interface Allow {
  policy: string;
  http?: Yaml[];
  mode?: string;
  failure?: string;
}

/** What all policies say of one packet, before it is weighed. */
interface Findings {
  tiered: (TieredHit & { policy: string })[];
  allows: Allow[];
  denies: string[];
  watchers: string[];
  defaultDeny: boolean;
  /** By a NetworkPolicy: a BaselineAdminNetworkPolicy is not asked. */
  isolated: boolean;
}

export function evaluate(
  objects: Yaml[],
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
  services: readonly OracleService[] = [],
): OracleVerdict {
  const isInit = !subject.isNode && isReserved("init", subject);
  const findings: Findings = {
    ...{ tiered: [], allows: [], denies: [], watchers: [] },
    defaultDeny: isInit,
    isolated: false,
  };
  const groups = objects.filter(({ kind }) => kind === "CiliumCIDRGroup");
  const about = { subject, peer, packet, groups, services };
  for (const object of objects) {
    if (object.kind.startsWith("Cilium")) findCilium(object, about, findings);
    else if (!subject.isNode) findPlain(object, about, findings);
  }
  return weigh(findings);
}

type About = Omit<CiliumCase, "ns" | "isForInit">;

function findPlain(object: Yaml, { subject, peer, packet }: About, found: Findings): void {
  const policy = object.metadata.name;
  if (object.kind === "VisibilityPolicy") {
    if (watches(object, subject, packet)) found.watchers.push(object.spec.plugin);
  } else if (object.kind === "NetworkPolicy") {
    const { spec, metadata } = object;
    const ns = metadata.namespace;
    if (!kubernetesSelects(spec.podSelector, subject, ns)) return;
    const types: string[] = spec.policyTypes ?? [];
    const list: Yaml[] = spec[packet.direction] ?? [];
    const isIngress = packet.direction === "ingress";
    const isListed = types.includes(isIngress ? "Ingress" : "Egress");
    if (list.length > 0 || isListed || (isIngress && !types.includes("Egress"))) {
      found.defaultDeny = true;
      found.isolated = true;
    }
    for (const item of list) {
      if (!kubernetesPeers(isIngress ? item.from : item.to, peer, ns)) continue;
      if (kubernetesPorts(item.ports, subject, peer, packet)) found.allows.push({ policy });
    }
  } else {
    const hits = tieredHits(object, subject, peer, packet);
    found.tiered.push(...hits.map((hit) => ({ ...hit, policy })));
  }
}

function findCilium(object: Yaml, about: About, found: Findings): void {
  const { direction } = about.packet;
  const policy = object.metadata.name;
  const annotations = object.metadata.annotations ?? {};
  const mode = annotations["imker.io/l7-mode"] ?? "enforce";
  const failure = annotations["imker.io/l7-failure"] ?? "closed";
  if (object.kind === "CiliumCIDRGroup") return;
  const ns = object.kind === "CiliumNetworkPolicy" ? object.metadata.namespace : "";
  for (const rule of [...(object.spec ? [object.spec] : []), ...(object.specs ?? [])]) {
    if (!isFor(rule, about.subject, ns)) continue;
    const allowItems: Yaml[] = rule[direction] ?? [];
    const denyItems: Yaml[] = rule[`${direction}Deny`] ?? [];
    const switched = rule.enableDefaultDeny?.[direction];
    if (switched ?? allowItems.length + denyItems.length > 0) found.defaultDeny = true;
    const one = { ...about, ns, isForInit: isForInit(rule.endpointSelector) };
    for (const item of denyItems) if (ciliumItem(item, one).length > 0) found.denies.push(policy);
    for (const match of allowItems.flatMap((item) => ciliumItem(item, one))) {
      found.allows.push({ policy, mode, failure, ...match });
    }
  }
}

function isFor({ nodeSelector, endpointSelector }: Yaml, subject: OraclePeer, ns: string): boolean {
  if (!nodeSelector) return !subject.isNode && ciliumSubject(endpointSelector, subject, ns);
  return subject.isNode === true && meetsAll(requirements(nodeSelector, "any"), subject.labels);
}

function weigh(found: Findings): OracleVerdict {
  const { allows, denies } = found;
  const admin = ofTier("admin", found);
  if (admin) return admin;
  if (denies.length > 0) return { ...NOTHING, verdict: "deny", policies: new Set(denies) };
  if (allows.length > 0) return allowed(found);
  return (
    ofTier("baseline", found) ??
    (found.defaultDeny
      ? { ...NOTHING, verdict: "drop", policies: new Set() }
      : allowed({ ...found, allows: [] }))
  );
}

/** What the first rules in order that match say; undefined: nothing, or that others shall. */
function ofTier(tier: TieredHit["tier"], found: Findings): OracleVerdict | undefined {
  const hits = found.tiered.filter(
    (hit) => hit.tier === tier && !(hit.unlessIsolated && found.isolated),
  );
  const first = Math.min(...hits.map(({ order }) => order));
  const deciding = (action: TieredHit["action"]) =>
    hits.filter((hit) => hit.order === first && hit.action === action);
  const policies = (list: { policy: string }[]) => new Set(list.map(({ policy }) => policy));
  const denies = deciding("deny");
  if (denies.length > 0) return { ...NOTHING, verdict: "deny", policies: policies(denies) };
  const accepts = deciding("allow");
  if (accepts.length === 0) return undefined;
  return allowed({ ...found, allows: accepts.map(({ policy }) => ({ policy })) });
}

function allowed({ allows, defaultDeny, watchers }: Findings): OracleVerdict {
  const l7 = allows.filter((allow) => allow.http !== undefined);
  const modes = l7.map((allow) => allow.mode);
  const mode = ["enforce", "audit", "observe"].find((one) => modes.includes(one)) ?? "";
  return {
    verdict: "allow",
    proxied: l7.length > 0,
    anyRequest: !defaultDeny || l7.length < allows.length,
    mode,
    failure: l7.some((allow) => allow.failure === "closed") ? "closed" : "open",
    http: l7.filter((allow) => allow.mode === mode).flatMap((allow) => allow.http ?? []),
    watchers,
    policies: new Set(allows.map((allow) => allow.policy)),
  };
}

const NOTHING = {
  ...{ proxied: false, anyRequest: false, mode: "", failure: "" },
  ...{ http: [], watchers: [] },
};

function watches(object: Yaml, subject: OraclePeer, packet: OraclePacket): boolean {
  const { endpointSelector, direction = "ingress", ports } = object.spec;
  if (direction !== packet.direction || packet.protocol !== 6) return false;
  if (!ciliumSubject(endpointSelector, subject, object.metadata.namespace)) return false;
  return ports.some(({ port, endPort = 0 }: Yaml) => {
    const first = Number(port);
    return isWithin(packet, first, endPort);
  });
}
