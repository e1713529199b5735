/**
 * The kernel's policy look-up over resolved entries, in plain steps: for tests and for explaining
 * a decision. Order and tie-breaks are those of struct policy_value in bpf/abi/abi.h.
 */
import { IDENTITY } from "../identity/reserved.ts";
import { CLASS, classOf } from "./resolve/level.ts";
import type { Direction } from "./rule.ts";
import type { PolicyOrigin, ResolvedEntry } from "./types.ts";

export interface PolicyPacket {
  direction: Direction;
  /** Identity of the peer. */
  identity: number;
  protocol: number;
  /** Destination port, host order; ICMP: type << 8. Undefined: none, or none that can be seen. */
  port: number | undefined;
}

export interface PolicyDecision {
  /** `drop`: nothing allows it (default deny, 133); `deny`: an explicit deny (181). */
  verdict: "allow" | "redirect" | "deny" | "drop";
  /** How specific the entry is, as policy verdict events name it. */
  match: "none" | "L3-Only" | "L3-L4" | "L4-Only" | "all" | "L3-Proto" | "Proto-Only";
  /** The entry that decided; absent with `drop`. */
  entry?: ResolvedEntry;
}

/** Prepares a look-up over one endpoint's entries. */
export function createLookup(
  entries: Iterable<ResolvedEntry>,
): (packet: PolicyPacket) => PolicyDecision {
  const byPeer = new Map<string, ResolvedEntry[]>();
  for (const entry of entries) {
    const peer = `${entry.direction} ${entry.identity}`;
    const list = byPeer.get(peer);
    if (list) list.push(entry);
    else byPeer.set(peer, [entry]);
  }
  return (packet) => {
    const own = longest(byPeer.get(`${packet.direction} ${packet.identity}`) ?? [], packet);
    const any = longest(byPeer.get(`${packet.direction} 0`) ?? [], packet);
    const entry = choose(own, any);
    if (!entry || classOf(entry.precedence) === CLASS.none)
      return { verdict: "drop", match: "none" };
    const allowed = entry.l7 ? "redirect" : "allow";
    return { verdict: entry.deny ? "deny" : allowed, match: matchOf(entry), entry };
  };
}

/** How the node reaches its own pods (--allow-localhost). */
export type HostAccess = "always" | "policy";

/** Whether the peer is the node itself on its way to a pod of its own. */
export function isFromHost({
  direction,
  identity,
}: Pick<PolicyPacket, "direction" | "identity">): boolean {
  return direction === "ingress" && identity === IDENTITY.host;
}

/**
 * What the kernel makes of a look-up's outcome for the packet (bpf/lib/judge.h): the node may
 * always reach its own pods, past the proxy, unless a rule denies it. By policy it has no more
 * rights than others, and what a proxy would have to look into is dropped, with its entry.
 */
export function favourHost(
  packet: PolicyPacket,
  decision: PolicyDecision,
  access: HostAccess,
): PolicyDecision {
  const { verdict, match, entry } = decision;
  if (!isFromHost(packet) || verdict === "allow" || verdict === "deny") return decision;
  if (access === "policy" && verdict === "drop") return decision;
  if (!entry) return { verdict: "allow", match };
  const { l7, ...rest } = entry;
  const isOpen = access === "always" || l7?.mode === "observe";
  return { verdict: isOpen ? "allow" : "drop", match, entry: rest };
}

function longest(
  entries: readonly ResolvedEntry[],
  packet: PolicyPacket,
): ResolvedEntry | undefined {
  let best: ResolvedEntry | undefined;
  for (const entry of entries) {
    if (covers(entry, packet) && (!best || bitsOf(entry) > bitsOf(best))) best = entry;
  }
  return best;
}

function covers(entry: ResolvedEntry, packet: PolicyPacket): boolean {
  if (entry.protocol === 0) return true;
  if (entry.protocol !== packet.protocol) return false;
  if (packet.port === undefined) return entry.portPrefix === 0;
  const shift = 16 - entry.portPrefix;
  return entry.port >>> shift === packet.port >>> shift;
}

/** `l4_prefixlen`. */
function bitsOf(entry: ResolvedEntry): number {
  return entry.protocol === 0 ? 0 : 8 + entry.portPrefix;
}

function choose(
  own: ResolvedEntry | undefined,
  any: ResolvedEntry | undefined,
): ResolvedEntry | undefined {
  if (!own || !any) return own ?? any;
  if (own.precedence !== any.precedence) return own.precedence > any.precedence ? own : any;
  return bitsOf(any) > bitsOf(own) ? any : own;
}

function matchOf(entry: ResolvedEntry): PolicyDecision["match"] {
  const peer = entry.identity !== 0;
  if (entry.protocol === 0) return peer ? "L3-Only" : "all";
  if (entry.portPrefix === 0) return peer ? "L3-Proto" : "Proto-Only";
  return peer ? "L3-L4" : "L4-Only";
}

/**
 * Numbers that stand for the policies behind an entry, as verdict events carry them. A number is
 * never used for other policies; one that no map holds any more is still known until the second
 * `sweep`, since events arrive late.
 */
export class OriginCookies {
  readonly #byText = new Map<string, number>();
  readonly #origins = new Map<number, readonly PolicyOrigin[]>();
  #idle = new Set<number>();
  #next = 1;

  /** 0 for an entry that no policy asked for. */
  cookieOf(origins: readonly PolicyOrigin[]): number {
    if (origins.length === 0) return 0;
    const text = JSON.stringify(origins);
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const cookie = this.#next++;
    this.#byText.set(text, cookie);
    this.#origins.set(cookie, origins);
    return cookie;
  }

  /** Empty for 0 and for numbers that were swept. */
  originsOf(cookie: number): readonly PolicyOrigin[] {
    return this.#origins.get(cookie) ?? [];
  }

  /** Forgets what was unused at this and the last sweep. `inUse`: cookies of all policy maps. */
  sweep(inUse: ReadonlySet<number>): void {
    const idle = new Set<number>();
    for (const [text, cookie] of this.#byText) {
      if (inUse.has(cookie)) continue;
      if (!this.#idle.has(cookie)) {
        idle.add(cookie);
        continue;
      }
      this.#byText.delete(text);
      this.#origins.delete(cookie);
    }
    this.#idle = idle;
  }
}
