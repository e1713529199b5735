/**
 * Where the Kubernetes API is, as labels: on this node its number 1 has one label more, outside of
 * the cluster it is an address of the world with one label more. Other nodes that have it are told
 * from the rest in node-prefixes.ts. Semantics: policy-semantics.md 2.4, 3.
 */
import { formatPrefix, type Prefix, parseAddress } from "../identity/cidr.ts";
import { reservedLabel } from "../identity/label.ts";
import { type PrefixSaying, prefixesByText } from "../identity/prefix-labels.ts";
import type { Label } from "../policy/types.ts";
import type { ClusterState } from "./state.ts";

export const API_SERVER_LABEL: Label = reservedLabel("kube-apiserver");

export interface ApiServersDeps {
  /** Name of this node. */
  node: string;
  state: Pick<ClusterState, "nodes" | "apiServers">;
  /** Addresses that this node has, besides those that the state knows. */
  ownAddresses: () => readonly string[];
}

export class ApiServers {
  readonly #deps: ApiServersDeps;

  constructor(deps: ApiServersDeps) {
    this.#deps = deps;
  }

  /** Of this node besides `reserved:host`. */
  hostLabels(): Label[] {
    const own = this.#own();
    return [...this.#servers().keys()].some((text) => own.has(text)) ? [API_SERVER_LABEL] : [];
  }

  /** Of those that are on no node. */
  saying(): PrefixSaying {
    const outside = this.#servers();
    const nodes = addressTexts(this.#deps.state.nodes().flatMap(({ addresses }) => addresses));
    for (const text of [...nodes, ...this.#own()]) outside.delete(text);
    const labels = [API_SERVER_LABEL];
    return { key: "kube-apiserver", labels, byAddress: true, prefixes: outside };
  }

  #servers(): Map<string, Prefix> {
    return prefixesByText(prefixesOf(this.#deps.state.apiServers()));
  }

  #own(): Set<string> {
    const { state, node, ownAddresses } = this.#deps;
    const known = state.nodes().find(({ name }) => name === node)?.addresses ?? [];
    return addressTexts([...known, ...ownAddresses()]);
  }
}

export function prefixesOf(addresses: readonly string[]): Prefix[] {
  return addresses.map(parseAddress).filter((prefix) => prefix !== undefined);
}

/** As prefixes. */
function addressTexts(addresses: readonly string[]): Set<string> {
  return new Set(prefixesOf(addresses).map(formatPrefix));
}
