/** Endpoints as the agent keeps them and as the admin API shows them. */
import type { Identity } from "../policy/types.ts";

export interface NamedPort {
  name: string;
  port: number;
  protocol: "TCP" | "UDP" | "SCTP";
}

/** What a caller wants. */
export interface EndpointSpec {
  name: string;
  namespace: string;
  labels: Record<string, string>;
  /** Kubernetes' name for who the pod is; policies may select by it. */
  serviceAccount?: string | undefined;
  /** A network namespace to use; undefined: make one. */
  netns?: string | undefined;
  ipv4?: string | undefined;
  ipv6?: string | undefined;
  ports: NamedPort[];
}

/** What outlives the agent. */
export interface EndpointRecord {
  id: number;
  name: string;
  namespace: string;
  /** The pod's own labels, without source. */
  labels: Record<string, string>;
  serviceAccount?: string;
  identity: number;
  ipv4: string;
  ipv6: string;
  /** Path of the network namespace. */
  netns: string;
  /** The agent made the namespace, so it removes it too. */
  ownsNetns: boolean;
  ports: NamedPort[];
  ifname: string;
  ifindex: number;
  podMac: string;
  hostMac: string;
}

/**
 * `waiting`: no policy in the kernel yet, so everything is dropped (203). `policy-overflow`: its
 * policies do not fit into its map; it has the last that did, or none. `disconnected`: its
 * interface or its namespace was taken away.
 */
export type EndpointState = "waiting" | "ready" | "policy-overflow" | "disconnected";

export interface Endpoint {
  id: number;
  name: string;
  namespace: string;
  identity: number;
  /** Security-relevant labels, `source:key=value`, sorted. */
  labels: string[];
  ipv4: string;
  ipv6: string;
  netns: string;
  state: EndpointState;
  /** Why it is disconnected, and what to do. */
  trouble?: string;
  /** Revision of the policies the kernel enforces for it; 0 before the first. */
  policyRevision: number;
  /** What L3/L4 policy denies passes and is told as audited; ends with the agent. */
  policyAuditMode: boolean;
}

/** Numbers for label sets; host/identity implements it. */
export interface IdentitySource {
  acquire(pod: Pick<EndpointSpec, "namespace" | "labels" | "serviceAccount">): Promise<Identity>;
  release(identity: number): Promise<void>;
}

/** Other nodes learn from it which identity an address has; host/ipcache/shared-addresses.ts. */
export interface AddressPublisher {
  /** Also when the address got another identity. */
  publish(one: {
    address: string;
    identity: number;
    namespace: string;
    pod: string;
  }): Promise<void>;
  withdraw(address: string): Promise<void>;
}

export interface PodLink {
  netns: string;
  ifname: string;
  ifindex: number;
  podMac: string;
  hostMac: string;
}

/** What of a pod's network is ours to remove. */
export interface PodTraces {
  ifname: string;
  netns: string;
  ownsNetns: boolean;
}

/** Namespaces, veth pairs, addresses and routes of pods; host/datapath implements it. */
export interface PodNetwork {
  /**
   * Makes the namespace when `netns` is undefined. Undoes everything when it throws. `begin` is
   * told what there will be before there is any of it: a process may die in between.
   */
  create(
    pod: { id: number; name: string; netns: string | undefined; ipv4: string; ipv6: string },
    begin?: (traces: PodTraces) => void,
  ): PodLink;
  /** What is gone already is not an error. */
  remove(pod: PodTraces): void;
  /** ifindex of the host side, or undefined when the interface is gone. */
  find(ifname: string): number | undefined;
  /**
   * Gives addresses and routes to the pod's side of an interface that somebody has made anew, and
   * returns what it is. Throws when there is no pod's side where it should be.
   */
  reconnect(pod: EndpointRecord): PodLink;
}

/** A caller asked for something that cannot be; `status` is the HTTP status that says so. */
export class EndpointError extends Error {
  override readonly name = "EndpointError";
  readonly status: 400 | 404 | 409;
  constructor(status: 400 | 404 | 409, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** The kernel enforces for endpoints that the store does not know. */
export class LostStateError extends Error {
  override readonly name = "LostStateError";
}

/** As many as Kubernetes objects have at most in practice; each makes every label set longer. */
const LABELS_MAX = 128;

/** With changes made; undefined removes a label. Throws EndpointError when there are too many. */
export function changedLabels(
  labels: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const after = new Map(Object.entries(labels));
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) after.delete(key);
    else after.set(key, value);
  }
  if (after.size > LABELS_MAX) {
    throw new EndpointError(400, `Cannot label a pod with ${after.size}: at most ${LABELS_MAX}`);
  }
  return Object.fromEntries(after);
}
