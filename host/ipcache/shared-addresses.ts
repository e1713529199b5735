/**
 * Pods of other nodes: each agent publishes the addresses of its own in the shared store, with its
 * lease, and gives those of the others their identity here. Keys and JSON are Cilium's. An address
 * gets its identity only when every policy map knows that identity: before, a rule that denies it
 * would not see it.
 */
import type { Logger } from "pino";
import { formatPrefix, parseAddress, parsePrefix } from "../identity/cidr.ts";
import type { LeasedKeys } from "../store/leased-keys.ts";
import { LINGER_MS, Mirror } from "../store/mirror.ts";
import type { SharedEvent, SharedStore } from "../store/shared-store.ts";
import type { Store } from "../store/store.ts";
import type { Ipcache } from "./ipcache.ts";

const PREFIX = "cilium/state/ip/v1/default/";
const RETRY_MS = 1_000;

export interface PublishedAddress {
  address: string;
  identity: number;
  namespace: string;
  pod: string;
  serviceAccount?: string;
}

export interface SharedAddressesDeps {
  store: SharedStore;
  leased: LeasedKeys;
  log: Logger;
  ipcache: Pick<Ipcache, "upsert" | "delete">;
  /** The identity is known here. */
  knows: (identity: number) => boolean;
  /** Settles when the policies in force select every identity that is known now. */
  settled: () => Promise<void>;
  /** The kernel's rows of these addresses have changed: live connections are judged again. */
  changed: (addresses: string[]) => Promise<void>;
  /** Address under which other nodes reach this one; in what it publishes. */
  hostIp: string;
  /** As of MirrorDeps. */
  memory?: Store | undefined;
  /** As of MirrorDeps; default LINGER_MS. */
  lingerMs?: number;
}

/** Cilium's IPIdentityPair, as far as it is read and written here. */
interface Pair {
  IP: string;
  /** Base64 of the mask's bytes; null: one address. */
  Mask: string | null;
  HostIP: string;
  ID: number;
  Key: number;
  Metadata: string;
  K8sNamespace?: string;
  K8sPodName?: string;
  K8sServiceAccount?: string;
}

export class SharedAddresses {
  readonly #deps: SharedAddressesDeps;
  readonly #log: Logger;
  readonly #mirror: Mirror;
  readonly #own = new Set<string>();
  /** Wanted: prefix → identity; undefined: to be taken away. */
  readonly #wanted = new Map<string, number | undefined>();
  #working: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(deps: SharedAddressesDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "ipcache" });
    const { store, log, memory, lingerMs = LINGER_MS } = deps;
    const onChange = (events: readonly Pick<SharedEvent, "key" | "value">[]): void =>
      this.#heard(events);
    this.#mirror = new Mirror({ store, log, prefix: PREFIX, onChange, memory, lingerMs });
  }

  /** False: the store did not answer when it was asked last. */
  get isCurrent(): boolean {
    return this.#mirror.isCurrent;
  }

  /** Settles when what others have published is in the kernel, as far as it can be. */
  async start(): Promise<void> {
    await this.#mirror.start();
    await this.#working;
  }

  /** The address of a pod of this node; also when it got another identity. */
  publish(one: PublishedAddress): Promise<void> {
    const key = PREFIX + one.address;
    this.#own.add(key);
    this.#disown(one.address);
    const value = JSON.stringify(pairOf(one, this.#deps.hostIp));
    return this.#deps.leased.holdLater(key, async (lease) => {
      await this.#deps.store.commit({ put: [{ key, value, lease }] });
    });
  }

  withdraw(address: string): Promise<void> {
    this.#own.delete(PREFIX + address);
    return this.#deps.leased.drop(PREFIX + address);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#mirror.close();
  }

  /** What the agent before this one had published is no word of another node's. */
  #disown(address: string): void {
    const prefix = prefixOf(address);
    if (prefix === undefined) return;
    this.#wanted.delete(prefix);
    this.#deps.ipcache.delete("kvstore", prefix);
  }

  #heard(events: readonly Pick<SharedEvent, "key" | "value">[]): void {
    for (const { key, value } of events) {
      if (this.#own.has(key)) continue;
      const prefix = prefixOf(key.slice(PREFIX.length));
      const identity = value === undefined ? undefined : identityOf(value);
      if (prefix === undefined || (value !== undefined && identity === undefined)) {
        this.#log.warn({ key }, "an address in the shared store cannot be read");
        continue;
      }
      this.#wanted.set(prefix, identity);
    }
    this.#work();
  }

  /** One at a time; what cannot be done yet is tried again. */
  #work(): void {
    if (this.#working !== undefined || this.#closed) return;
    clearTimeout(this.#timer);
    this.#working = this.#takeUp().finally(() => {
      this.#working = undefined;
      if (this.#wanted.size === 0 || this.#closed) return;
      this.#timer = setTimeout(() => this.#work(), RETRY_MS).unref();
    });
  }

  /** Never throws. */
  async #takeUp(): Promise<void> {
    try {
      const ready = [...this.#wanted].filter(
        ([, identity]) => identity === undefined || this.#deps.knows(identity),
      );
      if (ready.some(([, identity]) => identity !== undefined)) await this.#deps.settled();
      const changed: string[] = [];
      for (const [prefix, identity] of ready) {
        if (this.#closed) return;
        if (this.#wanted.get(prefix) !== identity) continue;
        this.#wanted.delete(prefix);
        if (this.#write(prefix, identity)) changed.push(prefix.replace(/\/\d+$/, ""));
      }
      if (changed.length > 0) await this.#deps.changed(changed);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.warn({ reason }, "addresses of other nodes wait for the policies");
    }
  }

  #write(prefix: string, identity: number | undefined): boolean {
    const { ipcache } = this.#deps;
    return identity === undefined
      ? ipcache.delete("kvstore", prefix)
      : ipcache.upsert("kvstore", prefix, identity);
  }
}

function pairOf(one: PublishedAddress, hostIp: string): Pair {
  const { address, identity, namespace, pod, serviceAccount } = one;
  return {
    ...{ IP: address, Mask: null, HostIP: hostIp, ID: identity, Key: 0, Metadata: "" },
    ...{ K8sNamespace: namespace, K8sPodName: pod },
    ...(serviceAccount === undefined ? {} : { K8sServiceAccount: serviceAccount }),
  };
}

/** Of the end of a key: an address or a prefix. */
function prefixOf(text: string): string | undefined {
  const parsed = text.includes("/") ? parsePrefix(text) : parseAddress(text);
  return parsed && formatPrefix(parsed);
}

function identityOf(value: string): number | undefined {
  try {
    const { ID } = JSON.parse(value) as Partial<Pair>;
    return Number.isInteger(ID) && Number(ID) > 0 ? ID : undefined;
  } catch {
    return undefined;
  }
}
