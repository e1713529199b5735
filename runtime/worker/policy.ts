/**
 * The verdict of a live connection under the policy maps as they are now. The datapath decides at
 * the SYN; a connection in the proxy outlives that decision, so after a change the worker asks the
 * same maps the same question (bpf/abi/abi.h, policies).
 */
import type { EngineAddon } from "../engine/index.ts";
import { POINT } from "./connection.ts";

export interface PolicyQuery {
  endpoint: number;
  /** POINT of the endpoint's side. */
  point: number;
  /** Identity of the other end. */
  peer: number;
  /** Port of the connection's destination. */
  port: number;
}

export type PolicyVerdict =
  | { kind: "denied" }
  | { kind: "allowed"; cookie: number }
  /** `watch`: nothing depends on the proxy (POLICY_FLAG_WATCH of bpf/abi/abi.h). */
  | { kind: "redirect"; ruleSet: number; cookie: number; watch?: true };

export interface PolicyLookup {
  verdict(query: PolicyQuery): PolicyVerdict;
  /** Of an address, in its 16 bytes, now; undefined: nothing says whose it is. */
  identityOf(address: Uint8Array): number | undefined;
}

interface PolicyEntry {
  precedence: number;
  rules: number;
  cookie: number;
  flags: number;
  prefix: number;
}

const DIRECTION_INGRESS = 0;
const DIRECTION_EGRESS = 1;
const IPPROTO_TCP = 6;
const FLAG_DENY = 1;
const FLAG_REDIRECT = 2;
const FLAG_WATCH = 4;
const KEY_BYTES = 12;
const VALUE_BYTES = 16;
/** Identity, direction, protocol and all bits of the port. */
const KEY_PREFIX_BITS = 64;
const IPCACHE_KEY_BYTES = 20;
const IPCACHE_VALUE_BYTES = 8;
const ADDRESS_BITS = 128;
const OPEN_ATTEMPTS_MAX = 3;

/** Looks up in the pinned maps. One instance a thread; `close()` releases the map. */
export class KernelPolicy implements PolicyLookup {
  readonly #kernel: EngineAddon;
  readonly #outer: number;
  readonly #ipcache: number;
  readonly #key = new Uint8Array(KEY_BYTES);
  readonly #value = new Uint8Array(VALUE_BYTES);

  /** Paths of the pinned maps. Throws when one cannot be opened. */
  constructor(kernel: EngineAddon, { policies, ipcache }: { policies: string; ipcache: string }) {
    this.#kernel = kernel;
    this.#outer = kernel.openMap(policies);
    this.#ipcache = kernel.openMap(ipcache);
  }

  close(): void {
    this.#kernel.closeFd(this.#outer);
    this.#kernel.closeFd(this.#ipcache);
  }

  identityOf(address: Uint8Array): number | undefined {
    const key = new Uint8Array(IPCACHE_KEY_BYTES);
    const value = new Uint8Array(IPCACHE_VALUE_BYTES);
    new DataView(key.buffer).setUint32(0, ADDRESS_BITS, true);
    key.set(address, 4);
    if (!this.#kernel.lookup(this.#ipcache, key, value)) return undefined;
    return new DataView(value.buffer).getUint32(0, true);
  }

  /** An endpoint without a policy is denied, as in the datapath. Throws when asking fails. */
  verdict(query: PolicyQuery): PolicyVerdict {
    const map = this.#inner(query.endpoint);
    if (map === undefined) return { kind: "denied" };
    try {
      return decide(this.#entry(map, query, query.peer), this.#entry(map, query, 0));
    } finally {
      this.#kernel.closeFd(map);
    }
  }

  /** The endpoint's map; its id may be gone by the time it is opened, when a revision switches. */
  #inner(id: number): number | undefined {
    const key = new Uint8Array(4);
    const value = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, id, true);
    for (let attempt = 1; this.#kernel.lookup(this.#outer, key, value); attempt++) {
      try {
        return this.#kernel.openMap(new DataView(value.buffer).getUint32(0, true));
      } catch (error) {
        if (attempt === OPEN_ATTEMPTS_MAX) throw error;
      }
    }
    return undefined;
  }

  #entry(map: number, query: PolicyQuery, identity: number): PolicyEntry | undefined {
    const key = new DataView(this.#key.buffer);
    key.setUint32(0, KEY_PREFIX_BITS, true);
    key.setUint32(4, identity, true);
    key.setUint8(8, query.point === POINT.egress ? DIRECTION_EGRESS : DIRECTION_INGRESS);
    key.setUint8(9, IPPROTO_TCP);
    key.setUint16(10, query.port, false);
    if (!this.#kernel.lookup(map, this.#key, this.#value)) return undefined;
    const value = new DataView(this.#value.buffer);
    return {
      precedence: value.getUint32(0, true),
      rules: value.getUint32(4, true),
      cookie: value.getUint32(8, true),
      flags: value.getUint8(12),
      prefix: value.getUint8(13),
    };
  }
}

/**
 * Of an entry for the peer and one for any peer: the higher precedence decides; if equal the longer
 * L4 prefix; if equal the specific one (abi.h, policy_value).
 */
export function decide(
  specific: PolicyEntry | undefined,
  any: PolicyEntry | undefined,
): PolicyVerdict {
  let entry = specific ?? any;
  if (specific !== undefined && any !== undefined) {
    const order = any.precedence - specific.precedence || any.prefix - specific.prefix;
    entry = order > 0 ? any : specific;
  }
  // The low byte says what kind of rule won; 0 passes the decision on, and nobody took it.
  if (entry === undefined || (entry.flags & FLAG_DENY) !== 0 || (entry.precedence & 0xff) === 0) {
    return { kind: "denied" };
  }
  return (entry.flags & FLAG_REDIRECT) !== 0
    ? {
        kind: "redirect",
        ruleSet: entry.rules,
        cookie: entry.cookie,
        ...((entry.flags & FLAG_WATCH) !== 0 ? { watch: true } : {}),
      }
    : { kind: "allowed", cookie: entry.cookie };
}
