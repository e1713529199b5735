/**
 * The node itself as an endpoint: its processes and the pods that share its network. It has no veth
 * and no address of the pool; its labels are the node's, its policy is the rules with a
 * `nodeSelector`.
 */
import { ENDPOINT_HOST } from "../datapath/layout.ts";
import type { Datapath } from "../datapath/types.ts";
import {
  formatLabel,
  k8sLabel,
  labelSetKey,
  reservedLabel,
  sortLabels,
} from "../identity/label.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { Label, PolicySubject } from "../policy/types.ts";
import { type Endpoint, EndpointError } from "./types.ts";

/** What people call it, besides its number. */
const NAME = "reserved:host";

export interface HostEndpointDeps {
  /** The node's labels, without source, besides those of `nodeLabels`; they are the stronger. */
  labels: Readonly<Record<string, string>>;
  /** Those of its Node object as they are now: the same object until they change. */
  nodeLabels: () => Readonly<Record<string, string>>;
  /** Besides `reserved:host`, as they are now. */
  reservedLabels: () => readonly Label[];
  /** The node's own addresses as they are now, without loopback and link-local ones. */
  addresses: () => readonly string[];
  /** Path of the node's network namespace. */
  netns: string;
  datapath: Pick<Datapath, "setAudit">;
}

interface Current {
  nodeLabels: object;
  /** As a key. */
  reserved: string;
  subject: PolicySubject;
  labels: readonly string[];
}

export class HostEndpoint {
  readonly #deps: HostEndpointDeps;
  #policyRevision = 0;
  #audit = false;
  /** What was made of the labels the last time. */
  #last: Current | undefined;

  constructor(deps: HostEndpointDeps) {
    this.#deps = deps;
  }

  /** Its number, or `reserved:host`; a pod cannot be called that. */
  answersTo(reference: string): boolean {
    return reference === NAME || reference === String(ENDPOINT_HOST);
  }

  /** What the policy resolver computes for. */
  subject(): PolicySubject {
    return this.#current().subject;
  }

  /** `source:key=value`, sorted. */
  labels(): readonly string[] {
    return this.#current().labels;
  }

  isAt(address: string): boolean {
    return this.#deps.addresses().includes(address);
  }

  /** Never `waiting`: unlike a pod, a node without a policy is open. */
  view(): Endpoint {
    const addresses = this.#deps.addresses();
    return {
      ...{ id: ENDPOINT_HOST, name: NAME, namespace: "", identity: IDENTITY.host },
      labels: [...this.labels()],
      ipv4: addresses.find((one) => !one.includes(":")) ?? "",
      ipv6: addresses.find((one) => one.includes(":")) ?? "",
      netns: this.#deps.netns,
      state: "ready",
      policyRevision: this.#policyRevision,
      policyAuditMode: this.#audit,
    };
  }

  policyEnforced(revision: number): void {
    this.#policyRevision = revision;
  }

  /** Ends with the agent. */
  setAudit(audit: boolean): Endpoint {
    this.#deps.datapath.setAudit(ENDPOINT_HOST, audit);
    this.#audit = audit;
    return this.view();
  }

  /** Its labels are not the API's to change, nor can it be removed. @throws EndpointError */
  refuse(what: "label" | "delete"): never {
    const why =
      what === "label"
        ? "its labels are those of --node-label and of its Node object"
        : "it is the node itself; an agent without --host-firewall has no policy for it";
    throw new EndpointError(409, `Cannot ${what} endpoint ${NAME}: ${why}`);
  }

  #current(): Current {
    const nodeLabels = this.#deps.nodeLabels();
    const reserved = [reservedLabel("host"), ...this.#deps.reservedLabels()];
    const key = labelSetKey(reserved);
    if (this.#last?.nodeLabels === nodeLabels && this.#last.reserved === key) return this.#last;
    const own = Object.entries({ ...nodeLabels, ...this.#deps.labels });
    const labels = sortLabels([...reserved, ...own.map(([key, value]) => k8sLabel(key, value))]);
    const identity = { id: IDENTITY.host, labels };
    const endpoint = ENDPOINT_HOST;
    const subject = { endpoint, scope: "node", identity, namespace: "", namedPorts: [] } as const;
    this.#last = { nodeLabels, reserved: key, subject, labels: labels.map(formatLabel) };
    return this.#last;
  }
}
