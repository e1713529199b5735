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
  /** Nodes may have changed, or where the API is: this node may have other labels. */
  nameHost: () => void;
  /** Endpoints take up what their namespaces' labels make of them, and the policies follow. */
  refreshIdentities: () => Promise<void>;
  sourcesChanged: () => Promise<void>;
}

const RETRY_MS = 1_000;

export class Cluster {
  readonly state = new ClusterState();
  readonly #log: Logger;
  readonly #source: ClusterSource | undefined;
  readonly #retries = new Set<NodeJS.Timeout>();
  #nodes: NodePrefixes | undefined;
  #follow: (change: ClusterChange) => Promise<boolean> = async () => true;

  /** Reads what there is; `follow` tells of what comes. @throws the system's error for the path. */
  constructor({ log, path }: ClusterDeps) {
    this.#log = log.child({ part: "cluster" });
    if (path === undefined) return;
    const replace = this.state.replace.bind(this.state);
    this.#source = new ClusterFiles(path, { log: this.#log, replace });
  }

  /**
   * What is known now is in force when it settles. False: that failed, and it is tried again until
   * it works, as with what changes later.
   */
  async follow(followers: ClusterFollowers): Promise<boolean> {
    const nodes = new NodePrefixes({ ...followers.nodes, state: this.state });
    this.#nodes = nodes;
    let tail = Promise.resolve(true);
    const follow = (change: ClusterChange): Promise<boolean> => {
      tail = tail.then(async () => {
        try {
          await apply(change, nodes, followers);
          return true;
        } catch (error) {
          this.#log.error({ error }, "a change of the cluster is not in force yet");
          const timer = setTimeout(() => {
            this.#retries.delete(timer);
            void follow(change);
          }, RETRY_MS);
          timer.unref();
          this.#retries.add(timer);
          return false;
        }
      });
      return tail;
    };
    this.#follow = follow;
    this.state.onChange((change) => void follow(change));
    return await this.nodesChanged();
  }

  /** This node has other addresses, say. Settles as `follow` does. */
  nodesChanged(): Promise<boolean> {
    return this.#follow({ nodes: true, namespaces: false, policySources: false });
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
    for (const timer of this.#retries) clearTimeout(timer);
  }
}

async function apply(
  change: ClusterChange,
  nodes: NodePrefixes,
  followers: ClusterFollowers,
): Promise<void> {
  if (change.nodes) {
    followers.nameHost();
    await nodes.refresh();
  }
  if (change.namespaces) await followers.refreshIdentities();
  if (change.policySources) await followers.sourcesChanged();
}
