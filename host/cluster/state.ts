/**
 * The cluster as this node knows it: objects indexed by what others ask for. Pure data; sources
 * replace their objects, listeners learn which part is different.
 */
import type { CidrGroup, PolicySources, ServiceInfo } from "../policy/sources.ts";
import type { ClusterNode, ClusterObject } from "./types.ts";

/** What a replacement made different. */
export interface ClusterChange {
  namespaces: boolean;
  nodes: boolean;
  /** Groups or services. */
  policySources: boolean;
}

const NO_CHANGE: ClusterChange = { namespaces: false, nodes: false, policySources: false };

const NO_LABELS: Readonly<Record<string, string>> = {};

export class ClusterState implements PolicySources {
  #objects: readonly ClusterObject[] = [];
  #shared: readonly ClusterNode[] = [];
  #namespaces: ReadonlyMap<string, Readonly<Record<string, string>>> = new Map();
  #services: readonly ServiceInfo[] = [];
  #groups: readonly CidrGroup[] = [];
  #nodes: readonly ClusterNode[] = [];
  #apiServers: readonly string[] = [];
  readonly #listeners: ((change: ClusterChange) => void)[] = [];

  /** Called after each replacement that made a difference. */
  onChange(listener: (change: ClusterChange) => void): void {
    this.#listeners.push(listener);
  }

  replace(objects: readonly ClusterObject[]): void {
    this.#objects = objects;
    this.#update();
  }

  /** Nodes that say themselves what they are. */
  replaceShared(nodes: readonly ClusterNode[]): void {
    this.#shared = nodes;
    this.#update();
  }

  #update(): void {
    const before = this.#parts();
    const groups = this.#groups;
    const objects = this.#objects;
    this.#namespaces = namespacesOf(objects);
    this.#services = servicesOf(objects);
    this.#groups = objects
      .flatMap((one) => (one.kind === "cidr-group" ? [one.group] : []))
      .map((group) => groups.find((known) => isSameGroup(known, group)) ?? group);
    this.#nodes = nodesOf([...objects, ...this.#shared]);
    this.#apiServers = backendsOf(objects).get("default/kubernetes") ?? [];
    const after = this.#parts();
    const change: ClusterChange = { ...NO_CHANGE };
    for (const part of ["namespaces", "nodes", "policySources"] as const) {
      change[part] = before[part] !== after[part];
    }
    const isRegrouped =
      groups.length !== this.#groups.length || groups.some((one, i) => one !== this.#groups[i]);
    change.policySources ||= isRegrouped;
    if (!Object.values(change).includes(true)) return;
    for (const listener of this.#listeners) listener(change);
  }

  get size(): number {
    return this.#objects.length;
  }

  /** Labels of a namespace; none if it is not known. */
  namespaceLabels(name: string): Readonly<Record<string, string>> {
    return this.#namespaces.get(name) ?? {};
  }

  /** One that has not changed is the object it was. */
  cidrGroups(): Iterable<CidrGroup> {
    return this.#groups;
  }

  services(): Iterable<ServiceInfo> {
    return this.#services;
  }

  /** One for all that the files say of a name, and one for what the node says itself. */
  nodes(): readonly ClusterNode[] {
    return this.#nodes;
  }

  /** Of the node of this name; none if it is not known. */
  nodeLabels(name: string): Readonly<Record<string, string>> {
    return this.#nodes.find((node) => node.name === name)?.labels ?? NO_LABELS;
  }

  /** Addresses of the Kubernetes API: the backends of the service `default/kubernetes`. */
  apiServers(): readonly string[] {
    return this.#apiServers;
  }

  /** Texts that are equal for equal parts; of groups the objects tell. */
  #parts(): Record<keyof ClusterChange, string> {
    return {
      namespaces: JSON.stringify([...this.#namespaces]),
      nodes: JSON.stringify([this.#nodes, this.#apiServers]),
      policySources: JSON.stringify(this.#services),
    };
  }
}

function isSameGroup(a: CidrGroup, b: CidrGroup): boolean {
  return (
    a.name === b.name &&
    JSON.stringify(a.labels) === JSON.stringify(b.labels) &&
    a.prefixes.size === b.prefixes.size &&
    [...a.prefixes.keys()].every((text) => b.prefixes.has(text))
  );
}

function namespacesOf(
  objects: readonly ClusterObject[],
): Map<string, Readonly<Record<string, string>>> {
  const namespaces = new Map<string, Readonly<Record<string, string>>>();
  for (const one of objects) if (one.kind === "namespace") namespaces.set(one.name, one.labels);
  return namespaces;
}

/** Addresses by `namespace/name` of the service, each once. */
function backendsOf(objects: readonly ClusterObject[]): Map<string, string[]> {
  const backends = new Map<string, Set<string>>();
  for (const one of objects) {
    if (one.kind !== "backends") continue;
    const key = `${one.namespace}/${one.service}`;
    const known = backends.get(key) ?? new Set<string>();
    backends.set(key, known);
    for (const address of one.addresses) known.add(address);
  }
  return new Map([...backends].map(([key, addresses]) => [key, [...addresses].sort()]));
}

function servicesOf(objects: readonly ClusterObject[]): ServiceInfo[] {
  const backends = backendsOf(objects);
  return objects.flatMap((one) => {
    if (one.kind !== "service") return [];
    const { namespace, name, labels, selector } = one;
    return [
      { namespace, name, labels, selector, backends: backends.get(`${namespace}/${name}`) ?? [] },
    ];
  });
}

/** What is said of one name is joined; of addresses each source has its own, labels are of both. */
function nodesOf(objects: readonly ClusterObject[]): ClusterNode[] {
  const nodes = new Map<string, ClusterNode>();
  const labels = new Map<string, Readonly<Record<string, string>>>();
  for (const one of objects) {
    if (one.kind !== "node") continue;
    const key = `${one.name}/${one.isShared === true}`;
    const known = nodes.get(key);
    labels.set(one.name, { ...labels.get(one.name), ...one.labels });
    const addresses = [...new Set([...(known?.addresses ?? []), ...one.addresses])].sort();
    nodes.set(key, { ...one, addresses });
  }
  return [...nodes.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, node]) => ({ ...node, labels: labels.get(node.name) ?? NO_LABELS }));
}
