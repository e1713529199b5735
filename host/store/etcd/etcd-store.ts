/**
 * The shared store in etcd, over its JSON gateway: what the interface asks for, in etcd's own
 * messages. Numbers of 64 bits are texts there; revisions stay far below 2^53.
 */
import {
  endOfPrefix,
  type SharedChange,
  type SharedCondition,
  type SharedEvent,
  type SharedRow,
  type SharedStore,
  type SharedWatcher,
  StoreUnavailableError,
} from "../shared-store.ts";
import { EtcdClient, type EtcdOptions } from "./client.ts";

/** One answer's rows; etcd bounds a message at 1.5 MiB going in, not coming out. */
const PAGE_ROWS_MAX = 1_000;

/** Why a watch was ended here; without it nobody is told. */
const LOST = Symbol("lost");

interface Header {
  revision?: string;
}

interface KeyValue {
  key: string;
  value?: string;
  mod_revision?: string;
}

interface RangeAnswer {
  header: Header;
  kvs?: KeyValue[];
  more?: boolean;
}

interface WatchMessage {
  result?: {
    header?: Header;
    created?: boolean;
    canceled?: boolean;
    compact_revision?: string;
    events?: { type?: "PUT" | "DELETE"; kv: KeyValue }[];
  };
  error?: unknown;
}

export class EtcdStore implements SharedStore {
  readonly name: string;
  readonly #client: EtcdClient;
  readonly #watches = new Set<AbortController>();

  constructor(options: EtcdOptions) {
    this.#client = new EtcdClient(options);
    this.name = this.#client.name;
  }

  async get(key: string): Promise<SharedRow | undefined> {
    const { kvs = [] } = await this.#range({ key: encode(key) });
    return kvs.map(rowOf)[0];
  }

  async list(prefix: string): Promise<{ rows: SharedRow[]; revision: number }> {
    const rows: SharedRow[] = [];
    const end = encode(endOfPrefix(prefix));
    let revision = 0;
    for (let from = prefix, more = true; more; ) {
      const answer = await this.#range({
        ...{ key: encode(from), range_end: end, limit: String(PAGE_ROWS_MAX) },
        // The pages of one list are of one moment.
        ...(revision === 0 ? {} : { revision: String(revision) }),
      });
      if (revision === 0) revision = Number(answer.header.revision);
      rows.push(...(answer.kvs ?? []).map(rowOf));
      more = answer.more === true;
      from = `${rows.at(-1)?.key}\0`;
    }
    return { rows, revision };
  }

  async commit({
    when = [],
    put = [],
    delete: remove = [],
  }: SharedChange): Promise<number | undefined> {
    const answer = (await this.#client.call(
      "/v3/kv/txn",
      {
        compare: when.map(comparison),
        success: [
          ...put.map(({ key, value, lease = "0" }) => ({
            request_put: { key: encode(key), value: encode(value), lease },
          })),
          ...remove.map((key) => ({ request_delete_range: { key: encode(key) } })),
        ],
      },
      false,
    )) as { header: Header; succeeded?: boolean };
    return answer.succeeded ? Number(answer.header.revision) : undefined;
  }

  async grantLease(ttlSeconds: number): Promise<string> {
    const body = { TTL: String(Math.ceil(ttlSeconds)) };
    const { ID } = (await this.#client.call("/v3/lease/grant", body, false)) as { ID: string };
    return ID;
  }

  async keepLeaseAlive(lease: string): Promise<boolean> {
    const answer = (await this.#client.call("/v3/lease/keepalive", { ID: lease }, true)) as {
      result?: { TTL?: string };
    };
    // A lease that is gone has no time left, which the gateway leaves out.
    return Number(answer.result?.TTL ?? 0) > 0;
  }

  async revokeLease(lease: string): Promise<void> {
    await this.#client.call("/v3/lease/revoke", { ID: lease }, false);
  }

  watch(prefix: string, revision: number, watcher: SharedWatcher): () => void {
    const controller = new AbortController();
    this.#watches.add(controller);
    void this.#follow(prefix, revision, watcher, controller.signal).then((reason) => {
      this.#watches.delete(controller);
      const { aborted, reason: why } = controller.signal;
      if (!aborted || why === LOST) watcher.ended(reason);
    });
    return () => controller.abort();
  }

  /** Also ends all watches when there is no answer: they would hang as their connections do. */
  async trouble(): Promise<string | undefined> {
    let answer: { errors?: string[] };
    try {
      answer = (await this.#client.call("/v3/maintenance/status", {}, true)) as typeof answer;
    } catch (error) {
      // Whoever may not ask for this has other permissions that count.
      if (!(error instanceof StoreUnavailableError)) return undefined;
      for (const controller of this.#watches) controller.abort(LOST);
      throw error;
    }
    const { errors = [] } = answer;
    if (errors.length === 0) return undefined;
    const full = errors.some((one) => one.includes("NOSPACE"));
    const help = full ? "; compact and defragment it, then 'etcdctl alarm disarm'" : "";
    return `etcd takes no changes (${errors.map((one) => one.trim()).join(", ")})${help}`;
  }

  close(): void {
    for (const controller of this.#watches) controller.abort();
    this.#client.close();
  }

  #range(body: object): Promise<RangeAnswer> {
    return this.#client.call("/v3/kv/range", body, true) as Promise<RangeAnswer>;
  }

  async #follow(
    prefix: string,
    revision: number,
    watcher: SharedWatcher,
    signal: AbortSignal,
  ): Promise<"compacted" | "lost"> {
    const create_request = {
      ...{ key: encode(prefix), range_end: encode(endOfPrefix(prefix)) },
      start_revision: String(revision + 1),
    };
    try {
      for await (const one of this.#client.stream("/v3/watch", { create_request }, signal)) {
        const { result } = one as WatchMessage;
        if (result === undefined) return "lost";
        // Another store, or a copy of before: what comes after our place never happened there.
        if (result.created && Number(result.header?.revision) < revision) return "lost";
        if (result.canceled) return Number(result.compact_revision ?? 0) > 0 ? "compacted" : "lost";
        const events = (result.events ?? []).map(eventOf);
        if (events.length > 0 && !signal.aborted) watcher.changed(events);
      }
    } catch {
      // Refused or broken off; who watches tries again, and its next `list` says why.
    }
    return "lost";
  }
}

function comparison(condition: SharedCondition): object {
  if ("noneBelow" in condition) {
    const { noneBelow } = condition;
    // Of no key at all etcd compares the revision 0.
    return {
      ...{ key: encode(noneBelow), range_end: encode(endOfPrefix(noneBelow)) },
      ...{ target: "CREATE", result: "EQUAL", create_revision: "0" },
    };
  }
  return {
    key: encode(condition.key),
    ...{ target: "MOD", result: "EQUAL", mod_revision: String(condition.revision) },
  };
}

function rowOf({ key, value = "", mod_revision = "0" }: KeyValue): SharedRow {
  return { key: decode(key), value: decode(value), revision: Number(mod_revision) };
}

function eventOf({ type = "PUT", kv }: { type?: "PUT" | "DELETE"; kv: KeyValue }): SharedEvent {
  const { key, value, revision } = rowOf(kv);
  return { key, value: type === "DELETE" ? undefined : value, revision };
}

function encode(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}
