/**
 * Identities of prefixes about which several parts know something: that it is the API server's,
 * that a DNS name led to it, that a policy or a CIDR group names it. What they say is merged into
 * one set of labels, which has one identity; the strongest of them is the row's source. Pods and
 * nodes are never known by prefix or name: such labels are stripped from theirs, so that no CIDR
 * rule selects them.
 */
import { cidrLabels, parsePrefix } from "../identity/cidr.ts";
import { SOURCE_CIDR, SOURCE_RESERVED, sortLabels } from "../identity/label.ts";
import type { Identity, Label } from "../policy/types.ts";
import { type Ipcache, type IpcacheSource, sourceRank } from "./ipcache.ts";

/** What one part says of a prefix. */
export interface PrefixClaim {
  source: IpcacheSource;
  labels: readonly Label[];
}

export interface PrefixLabelsDeps {
  identities: {
    acquire(labels: Iterable<Label>): Promise<Identity>;
    release(id: number): Promise<void>;
  };
  ipcache: Pick<Ipcache, "upsert" | "delete">;
  /** Settles when the policies in force select every identity that is known now. */
  settled: () => Promise<void>;
}

interface Row {
  claims: Map<string, PrefixClaim>;
  /** Of the row in the ipcache, held by one use of the identity. */
  written?: { source: IpcacheSource; identity: number } | undefined;
}

const STRIPPED_SOURCES = new Set([SOURCE_CIDR, "fqdn", "cidrgroup"]);
const NODES = new Set(["host", "remote-node"]);

export class PrefixLabels {
  readonly #deps: PrefixLabelsDeps;
  readonly #rows = new Map<string, Row>();
  #tail: Promise<unknown> = Promise.resolve();

  constructor(deps: PrefixLabelsDeps) {
    this.#deps = deps;
  }

  /**
   * `owner` (a policy, a group, a DNS cache) says this of a prefix, instead of what it said before;
   * undefined: nothing any more. Settles when the kernel's map has it.
   * @throws IdentityAllocationError, and what `settled` rejects with; then the row is as it was.
   */
  claim(prefix: string, owner: string, claim: PrefixClaim | undefined): Promise<void> {
    const result = this.#tail.then(() => this.#claim(prefix, owner, claim));
    this.#tail = result.catch(() => {});
    return result;
  }

  async #claim(prefix: string, owner: string, claim: PrefixClaim | undefined): Promise<void> {
    const row = this.#rows.get(prefix) ?? { claims: new Map() };
    if (claim === undefined) row.claims.delete(owner);
    else row.claims.set(owner, claim);
    this.#rows.set(prefix, row);
    await this.#write(prefix, row);
    if (row.claims.size === 0) this.#rows.delete(prefix);
  }

  async #write(prefix: string, row: Row): Promise<void> {
    const { identities, ipcache, settled } = this.#deps;
    const before = row.written;
    const claims = [...row.claims.values()];
    const [strongest] = claims
      .map(({ source }) => source)
      .sort((a, b) => sourceRank(a) - sourceRank(b));
    if (strongest !== undefined) {
      const identity = (await identities.acquire(mergedLabels(prefix, claims))).id;
      const same = before?.identity === identity && before.source === strongest;
      if (same) {
        await identities.release(identity);
        return;
      }
      try {
        await settled();
      } catch (error) {
        await identities.release(identity);
        throw error;
      }
      ipcache.upsert(strongest, prefix, identity);
      row.written = { source: strongest, identity };
    } else {
      row.written = undefined;
    }
    if (before === undefined) return;
    if (before.source !== strongest) ipcache.delete(before.source, prefix);
    await identities.release(before.identity);
  }
}

/** The labels of a prefix's identity: all that is said of it, and what follows from that. */
export function mergedLabels(prefix: string, claims: readonly PrefixClaim[]): Label[] {
  const said = sortLabels(claims.flatMap(({ labels }) => labels));
  const names = said.filter(({ source }) => source === SOURCE_RESERVED).map(({ key }) => key);
  const inside =
    names.some((name) => NODES.has(name)) || said.some(({ source }) => source === "k8s");
  if (inside) {
    const kept = said.filter(({ source }) => !STRIPPED_SOURCES.has(source));
    // The node itself is number 1, whatever else is said of it.
    return names.includes("host") ? kept.filter(isHost) : kept;
  }
  const parsed = parsePrefix(prefix);
  if (parsed === undefined) throw new Error(`Cannot use the prefix "${prefix}": not a CIDR`);
  const [, world] = cidrLabels({ ...parsed, length: Math.max(parsed.length, 1) });
  // A name or group says enough; only what is known by its address alone carries the address.
  const named = said.some(({ source }) => source === "fqdn");
  const address = named && !names.includes("kube-apiserver") ? [] : cidrLabels(parsed);
  return sortLabels([...said, ...address, ...(world === undefined ? [] : [world])]);
}

function isHost({ source, key }: Label): boolean {
  return source === SOURCE_RESERVED && key === "host";
}
