/**
 * The cluster's state in the agent: where it comes from, and what has to be done when it changes.
 * Namespaces name identities of pods, nodes fill the ipcache, groups and services are in policies.
 */
import type { Logger } from "pino";
import { ClusterFiles } from "../cluster/file-source.ts";
import { NodePrefixes, type NodePrefixesDeps } from "../cluster/node-prefixes.ts";
import { type ClusterChange, ClusterState } from "../cluster/state.ts";
import type { ClusterSource } from "../cluster/types.ts";

export interface ClusterDeps {
  log: Logger;
  /** A file or folder; undefined: nothing is known of the cluster. */
  path: string | undefined;
}

/** Who is told of changes. */
export interface ClusterFollowers {
  nodes: Omit<NodePrefixesDeps, "state">;
  /** True if an endpoint has another identity now. */
  refreshIdentities: () => Promise<boolean>;
  /** Computes and enforces again. */
  refresh: () => Promise<void>;
  sourcesChanged: () => Promise<void>;
}

export class Cluster {
  readonly state = new ClusterState();
  readonly #log: Logger;
  readonly #source: ClusterSource | undefined;
  #nodes: NodePrefixes | undefined;

  /** Reads what there is; `follow` tells of what comes. @throws the system's error for the path. */
  constructor({ log, path }: ClusterDeps) {
    this.#log = log.child({ part: "cluster" });
    if (path === undefined) return;
    const replace = this.state.replace.bind(this.state);
    this.#source = new ClusterFiles(path, { log: this.#log, replace });
  }

  /** In force once it settles: before that, other nodes are the world. */
  async follow(followers: ClusterFollowers): Promise<void> {
    const nodes = new NodePrefixes({ ...followers.nodes, state: this.state });
    this.#nodes = nodes;
    await nodes.refresh();
    let tail = Promise.resolve();
    this.state.onChange((change) => {
      tail = tail.then(() =>
        apply(change, nodes, followers).catch((error: unknown) => {
          this.#log.error({ error }, "a change of the cluster is not in force yet");
        }),
      );
    });
  }

  /** For people; empty when all is well. */
  get troubles(): string[] {
    const trouble = this.#nodes?.trouble;
    return [
      ...(this.#source?.problems ?? []).map((one) => `${one.file}: ${one.path} ${one.message}`),
      ...(trouble === undefined ? [] : [trouble]),
    ];
  }

  close(): void {
    this.#source?.close();
  }
}

async function apply(
  change: ClusterChange,
  nodes: NodePrefixes,
  followers: ClusterFollowers,
): Promise<void> {
  let compute = false;
  if (change.nodes) {
    await nodes.refresh();
    compute = true;
  }
  if (change.namespaces) compute = (await followers.refreshIdentities()) || compute;
  if (change.policySources) await followers.sourcesChanged();
  if (compute) await followers.refresh();
}
