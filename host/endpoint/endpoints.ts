/**
 * The life of an endpoint: address, identity, namespace and link, rows in the kernel, record in the
 * store. It never lets traffic pass by itself: a new endpoint has no policy map, so the datapath
 * drops everything until the enforcer has written one.
 */
import { existsSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import type { Logger } from "pino";
import type { Datapath } from "../datapath/types.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Identity, PolicySubject } from "../policy/types.ts";
import type { Store } from "../store/store.ts";
import { AddressError, type AddressPool } from "./ipam.ts";
import { lookAtLink } from "./link-state.ts";
import {
  type AddressPublisher,
  changedLabels,
  type Endpoint,
  EndpointError,
  type EndpointRecord,
  type EndpointSpec,
  type IdentitySource,
  LostStateError,
  type PodLink,
  type PodNetwork,
  type PodTraces,
} from "./types.ts";

/** The one above is the node itself. */
const ENDPOINT_ID_MAX = 65_534;
const STRANGERS_SHOWN_MAX = 5;
const TROUBLES_SHOWN_MAX = 10;
/** Keys of endpoints whose network is being made; the values are PodTraces. */
export const ENDPOINTS_BEGUN = "endpoints-begun/";
const PROTOCOL_NUMBER = { TCP: 6, UDP: 17, SCTP: 132 } as const;

const beginning = (id: number): string => `${ENDPOINTS_BEGUN}${id}`;

export interface EndpointsDeps {
  log: Logger;
  store: Store;
  datapath: Pick<Datapath, "upsertEndpoint" | "deleteEndpoint" | "listEndpoints" | "setAudit">;
  ipcache: Ipcache;
  network: PodNetwork;
  identities: IdentitySource;
  ipv4: AddressPool;
  ipv6: AddressPool;
  /** How long a relabelled endpoint keeps its identity, so that other nodes learn the new one. */
  identityGracePeriodMs: number;
  /** The kernel's rows of these addresses have another identity: live connections are judged. */
  onRelabelled: (addresses: string[]) => Promise<void>;
  /** Where other nodes learn of addresses; absent: there are none. */
  addresses?: AddressPublisher | undefined;
}

interface Entry {
  record: EndpointRecord;
  subject: PolicySubject;
  policyRevision: number;
  audit: boolean;
  /** As of LinkState. */
  trouble: string | undefined;
}

export class Endpoints {
  readonly #deps: EndpointsDeps;
  readonly #log: Logger;
  readonly #entries = new Map<number, Entry>();
  readonly #byAddress = new Map<string, EndpointRecord>();
  /** Ids and names of endpoints being made, so that two requests at once do not share one. */
  readonly #reserved = new Set<number | string>();

  constructor(deps: EndpointsDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "endpoint" });
  }

  /**
   * Takes up what the last agent left: rows are written again, endpoints without link forgotten.
   * @throws LostStateError, and then no endpoint was touched.
   */
  async restore(): Promise<void> {
    this.#refuseStrangers();
    this.#removeHalfMade();
    for (const row of this.#deps.store.list("endpoints/")) {
      const record = JSON.parse(row.value) as EndpointRecord;
      const ifindex = this.#deps.network.find(record.ifname);
      if (ifindex === undefined) {
        this.#log.warn({ endpoint: record.id, name: record.name }, "its interface is gone");
        this.#forget(record);
        continue;
      }
      this.#deps.ipv4.occupy(record.ipv4);
      this.#deps.ipv6.occupy(record.ipv6);
      const now = lookAtLink(record, this.#deps.network).record;
      await this.#install({ ...now, ifindex });
    }
  }

  /** Takes up what has become of the endpoints' interfaces. Call often, and after `restore`. */
  lookAtLinks(): void {
    const { network, store, datapath } = this.#deps;
    for (const entry of this.#entries.values()) {
      const before = entry.record;
      const { record, trouble } = lookAtLink(before, network);
      const about = { endpoint: record.id, name: record.name };
      if (trouble !== undefined && trouble !== entry.trouble) this.#log.error(about, trouble);
      if (trouble === undefined && entry.trouble !== undefined)
        this.#log.info(about, "it is connected again");
      entry.trouble = trouble;
      if (record === before) continue;
      entry.record = record;
      for (const address of [record.ipv4, record.ipv6]) this.#byAddress.set(address, record);
      store.put(`endpoints/${record.id}`, JSON.stringify(record));
      datapath.upsertEndpoint({ ...record, audit: entry.audit });
    }
  }

  /** For people; empty when all is well. */
  get troubles(): string[] {
    const all = this.list().filter(({ trouble }) => trouble !== undefined);
    const more = all.length - TROUBLES_SHOWN_MAX;
    return [
      ...all
        .slice(0, TROUBLES_SHOWN_MAX)
        .map(({ namespace, name, trouble }) => `endpoint ${namespace}/${name}: ${trouble}`),
      ...(more > 0 ? [`${more} more endpoints are disconnected: see 'imker endpoint list'`] : []),
    ];
  }

  /** @throws EndpointError, AddressError, and what the network or the kernel says. */
  async create(spec: EndpointSpec): Promise<Endpoint> {
    const fullName = `${spec.namespace}/${spec.name}`;
    if (this.find(spec.namespace, spec.name) !== undefined || this.#reserved.has(fullName)) {
      throw new EndpointError(409, `Cannot add endpoint ${fullName}: it exists; delete it first`);
    }
    if (spec.netns !== undefined && !existsSync(spec.netns)) {
      throw new EndpointError(
        400,
        `Cannot add endpoint ${fullName}: there is no network namespace ${spec.netns}; ` +
          "make it with 'ip netns add', or let imker make one (--create)",
      );
    }
    const id = this.#freeId();
    this.#reserved.add(fullName);
    const undo: (() => void | Promise<void>)[] = [];
    try {
      const identity = await this.#deps.identities.acquire(spec);
      undo.push(() => this.#deps.identities.release(identity.id));
      const ipv4 = this.#take(this.#deps.ipv4, spec.ipv4, undo);
      const ipv6 = this.#take(this.#deps.ipv6, spec.ipv6, undo);
      const link = this.#makeLink(id, spec, { ipv4, ipv6 });
      const record: EndpointRecord = {
        id,
        name: spec.name,
        namespace: spec.namespace,
        labels: spec.labels,
        ...(spec.serviceAccount === undefined ? {} : { serviceAccount: spec.serviceAccount }),
        ports: spec.ports,
        identity: identity.id,
        ipv4,
        ipv6,
        ownsNetns: spec.netns === undefined,
        ...link,
      };
      undo.push(() => this.#deps.network.remove(record));
      this.#deps.store.put(`endpoints/${id}`, JSON.stringify(record));
      undo.push(() => this.#deps.store.delete(`endpoints/${id}`));
      this.#deps.store.delete(beginning(id));
      undo.push(() => this.#removeRows(record));
      await this.#install(record);
      await this.#deps.identities.release(identity.id); // #install holds its own reference.
      return this.#show(this.#entry(id));
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    } finally {
      this.#reserved.delete(id);
      this.#reserved.delete(fullName);
    }
  }

  /**
   * Changes labels of a pod (undefined removes one), and with them its identity. For the grace
   * period it keeps the old one; then `enforce` must put in force what the policies say now, and
   * only after that does anybody see the new identity. Other endpoints' rules stay as they are.
   * @throws EndpointError, IdentityAllocationError, or what `enforce` rejects with: then it has its
   *   old labels and identity.
   */
  async relabel(
    id: number,
    changes: Readonly<Record<string, string | undefined>>,
    enforce: () => Promise<void>,
  ): Promise<Endpoint> {
    const entry = this.#entry(id);
    const { record } = entry;
    const fullName = `${record.namespace}/${record.name}`;
    if (this.#reserved.has(fullName)) {
      throw new EndpointError(409, `Cannot label ${fullName}: its labels are being changed`);
    }
    const labels = changedLabels(record.labels, changes);
    this.#reserved.add(fullName);
    try {
      const identity = await this.#deps.identities.acquire({ ...record, labels });
      try {
        await this.#switchIdentity(entry, identity, { labels, enforce });
      } catch (error) {
        await this.#deps.identities.release(identity.id);
        throw error;
      }
      // The one it had, or the second reference to the one it keeps.
      await this.#deps.identities.release(record.identity);
      return this.#show(entry);
    } finally {
      this.#reserved.delete(fullName);
    }
  }

  /** Removes it from the kernel and forgets it. Returns what it was. */
  async delete(id: number): Promise<Endpoint> {
    const entry = this.#entry(id);
    const shown = this.#show(entry);
    const { record } = entry;
    await this.#removeRows(record);
    this.#deps.network.remove(record);
    this.#deps.ipv4.release(record.ipv4);
    this.#deps.ipv6.release(record.ipv6);
    await this.#deps.identities.release(record.identity);
    this.#deps.store.delete(`endpoints/${id}`);
    return shown;
  }

  list(): Endpoint[] {
    return [...this.#entries.values()].map((entry) => this.#show(entry));
  }

  find(namespace: string, name: string): Endpoint | undefined {
    return this.list().find((one) => one.name === name && one.namespace === namespace);
  }

  /** By id, `namespace/name`, or a name that only one namespace has. Throws EndpointError. */
  get(reference: string): Endpoint {
    const matches = this.list().filter(
      (one) =>
        String(one.id) === reference ||
        `${one.namespace}/${one.name}` === reference ||
        one.name === reference,
    );
    if (matches.length > 1) {
      const names = matches.map((one) => `${one.namespace}/${one.name}`).join(", ");
      throw new EndpointError(409, `Cannot tell which endpoint "${reference}" is: ${names}`);
    }
    const [found] = matches;
    if (found === undefined) {
      throw new EndpointError(
        404,
        `Cannot find endpoint "${reference}": see 'imker endpoint list'`,
      );
    }
    return found;
  }

  /** Everything the policy resolver must compute for. */
  subjects(): PolicySubject[] {
    return [...this.#entries.values()].map((entry) => entry.subject);
  }

  /** The pod's own record, for those who join flows with names. */
  record(id: number): EndpointRecord | undefined {
    return this.#entries.get(id)?.record;
  }

  /** By its printable address, as flows carry it. */
  byAddress(address: string): EndpointRecord | undefined {
    return this.#byAddress.get(address);
  }

  records(): EndpointRecord[] {
    return [...this.#entries.values()].map((entry) => entry.record);
  }

  /** Not kept: audit mode ends with the agent. */
  setAudit(id: number, audit: boolean): Endpoint {
    const entry = this.#entry(id);
    this.#deps.datapath.setAudit(id, audit);
    entry.audit = audit;
    return this.#show(entry);
  }

  policyEnforced(id: number, revision: number): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.policyRevision = revision;
  }

  /**
   * Looks again at what names the endpoints' identities beside their own labels, such as the labels
   * of their namespaces. As `relabel` for each; rejects with the first error when all are done.
   */
  async refreshIdentities(enforce: () => Promise<void>): Promise<void> {
    const ids = [...this.#entries.keys()];
    const results = await Promise.allSettled(ids.map((id) => this.relabel(id, {}, enforce)));
    const failed = results.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** Kept by the store until the endpoint is: what is made half, the next agent removes. */
  #makeLink(id: number, spec: EndpointSpec, addresses: { ipv4: string; ipv6: string }): PodLink {
    const { store, network } = this.#deps;
    const pod = { id, name: spec.name, netns: spec.netns, ...addresses };
    try {
      return network.create(pod, (traces) => store.put(beginning(id), JSON.stringify(traces)));
    } catch (error) {
      store.delete(beginning(id));
      throw error;
    }
  }

  /**
   * Without their record nobody can say what policy those pods have, and their numbers would be
   * given to others. They stay as they are enforced until somebody decides.
   */
  #refuseStrangers(): void {
    const { store, datapath } = this.#deps;
    const strangers = datapath
      .listEndpoints()
      .filter(({ id }) => store.get(`endpoints/${id}`) === undefined)
      .sort((one, other) => one.id - other.id)
      .map(({ id, ipv4, ipv6 }) => `${id} (${ipv4 ?? ipv6})`);
    if (strangers.length === 0) return;
    const more = strangers.length > STRANGERS_SHOWN_MAX ? ", …" : "";
    throw new LostStateError(
      "Cannot run the agent: the kernel enforces for endpoints that the database does not know: " +
        `${strangers.slice(0, STRANGERS_SHOWN_MAX).join(", ")}${more}; give it the --state-dir ` +
        "that belongs to its --bpffs, or begin anew with 'imker uninstall'",
    );
  }

  #removeHalfMade(): void {
    const { store, network } = this.#deps;
    for (const { key, value } of store.list(ENDPOINTS_BEGUN)) {
      const id = key.slice(ENDPOINTS_BEGUN.length);
      if (store.get(`endpoints/${id}`) === undefined) {
        this.#log.warn({ endpoint: id }, "its making was cut off; what there is of it is removed");
        network.remove(JSON.parse(value) as PodTraces);
      }
      store.delete(key);
    }
  }

  async #install(record: EndpointRecord): Promise<void> {
    const identity = await this.#deps.identities.acquire(record);
    const current = { ...record, identity: identity.id };
    if (record.identity !== identity.id) {
      this.#deps.store.put(`endpoints/${record.id}`, JSON.stringify(current));
    }
    this.#entries.set(record.id, {
      record: current,
      policyRevision: 0,
      audit: false,
      trouble: undefined,
      subject: {
        endpoint: record.id,
        identity,
        namespace: record.namespace,
        name: record.name,
        namedPorts: record.ports.map((port) => ({
          name: port.name,
          port: port.port,
          protocol: PROTOCOL_NUMBER[port.protocol],
        })),
      },
    });
    await this.#writeRows(current);
  }

  /** What says to everybody which identity the endpoint has. */
  async #writeRows(record: EndpointRecord): Promise<void> {
    const { datapath, ipcache, addresses } = this.#deps;
    const { identity, namespace, name: pod } = record;
    const audit = this.#entries.get(record.id)?.audit ?? false;
    datapath.upsertEndpoint({ ...record, audit });
    ipcache.upsert("local", `${record.ipv4}/32`, identity);
    ipcache.upsert("local", `${record.ipv6}/128`, identity);
    for (const address of [record.ipv4, record.ipv6]) {
      this.#byAddress.set(address, record);
      await addresses?.publish({ address, identity, namespace, pod });
    }
  }

  async #removeRows({ id, ipv4, ipv6 }: EndpointRecord): Promise<void> {
    const { datapath, ipcache, addresses } = this.#deps;
    this.#entries.delete(id);
    for (const address of [ipv4, ipv6]) {
      this.#byAddress.delete(address);
      await addresses?.withdraw(address);
    }
    ipcache.delete("local", `${ipv4}/32`);
    ipcache.delete("local", `${ipv6}/128`);
    datapath.deleteEndpoint(id);
  }

  async #switchIdentity(
    entry: Entry,
    identity: Identity,
    { labels, enforce }: { labels: Record<string, string>; enforce: () => Promise<void> },
  ): Promise<void> {
    const { id } = entry.record;
    const changed = identity.id !== entry.record.identity;
    if (changed) await wait(this.#deps.identityGracePeriodMs);
    if (this.#entries.get(id) !== entry) {
      throw new EndpointError(404, `Cannot label endpoint ${id}: it was deleted meanwhile`);
    }
    const record = { ...entry.record, labels, identity: identity.id };
    if (changed) {
      const before = entry.subject;
      entry.subject = { ...before, identity };
      try {
        await enforce();
      } catch (error) {
        entry.subject = before;
        throw error;
      }
      if (this.#entries.get(id) !== entry) {
        throw new EndpointError(404, `Cannot label endpoint ${id}: it was deleted meanwhile`);
      }
    }
    this.#deps.store.put(`endpoints/${id}`, JSON.stringify(record));
    entry.record = record;
    if (!changed) return;
    await this.#writeRows(record);
    await this.#deps.onRelabelled([record.ipv4, record.ipv6]);
  }

  #forget(record: EndpointRecord): void {
    this.#deps.datapath.deleteEndpoint(record.id);
    this.#deps.ipcache.delete("local", `${record.ipv4}/32`);
    this.#deps.ipcache.delete("local", `${record.ipv6}/128`);
    this.#deps.network.remove(record);
    this.#deps.store.delete(`endpoints/${record.id}`);
  }

  #take(
    pool: AddressPool,
    wanted: string | undefined,
    undo: (() => void | Promise<void>)[],
  ): string {
    try {
      const address = pool.take(wanted);
      undo.push(() => pool.release(address));
      return address;
    } catch (cause) {
      if (!(cause instanceof AddressError)) throw cause;
      throw new EndpointError(409, cause.message, { cause });
    }
  }

  #entry(id: number): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new EndpointError(404, `Cannot find endpoint ${id}`);
    return entry;
  }

  #freeId(): number {
    for (let id = 1; id <= ENDPOINT_ID_MAX; id++) {
      if (this.#entries.has(id) || this.#reserved.has(id)) continue;
      this.#reserved.add(id);
      return id;
    }
    throw new EndpointError(409, `Cannot add an endpoint: all ${ENDPOINT_ID_MAX} ids are in use`);
  }

  #show({ record, subject, policyRevision, audit, trouble }: Entry): Endpoint {
    const state = policyRevision === 0 ? "waiting" : "ready";
    return {
      id: record.id,
      name: record.name,
      namespace: record.namespace,
      identity: record.identity,
      labels: subject.identity.labels
        .map(({ source, key, value }) => `${source}:${key}${value === "" ? "" : `=${value}`}`)
        .sort(),
      ipv4: record.ipv4,
      ipv6: record.ipv6,
      netns: record.netns,
      ...(trouble === undefined ? { state } : { state: "disconnected", trouble }),
      policyRevision,
      policyAuditMode: audit,
    };
  }
}
