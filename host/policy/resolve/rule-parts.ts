/**
 * What one rule says of one direction, by its peers. Of most rules that is the same for every
 * subject and is worked out once; where container ports are named it depends on whose they are.
 */
import {
  type Direction,
  type NamedPort,
  type PortMatch,
  PROTOCOL,
  type Rule,
  type RuleItem,
  type RuleL7,
  type RuleVerdict,
} from "../rule.ts";
import type { Selector } from "../selector.ts";
import type { SelectorCache } from "../selector-cache.ts";
import type { PolicyOrigin, PolicySubject } from "../types.ts";
import { levelOf } from "./level.ts";
import { ALL_PORTS, type PortKey, portRangeKeys } from "./port-key.ts";

export interface Contribution {
  key: PortKey;
  /** Of level.ts: higher decides first. */
  level: number;
  /** `watch` decides nothing: what the others allow is handed over with its L7 rules. */
  verdict: RuleVerdict;
  l7?: RuleL7 | undefined;
  /** Undefined for what no policy decided: allowed since nothing is enforced, or only watched. */
  origin?: PolicyOrigin;
}

/** What a rule says of one set of peers. */
export interface RulePart {
  selector: Selector;
  /** Those of the selection who have the named port; undefined: all of it. */
  identities?: ReadonlySet<number>;
  contributions: readonly Contribution[];
}

export interface RuleParts {
  /** By the peers' key, equal for equal peers. */
  byPeers: ReadonlyMap<string, RulePart>;
  /** Peers' container ports count: another port of a peer changes the parts. */
  namesPeerPorts: boolean;
}

export interface PortNames {
  /** Container ports of a peer, for named ports in egress rules. */
  namedPortsOf: (identity: number) => PolicySubject["namedPorts"];
}

/** For whom the rules are read. */
export interface PartsFor {
  subject: PolicySubject;
  names: PortNames;
}

const NOTHING: RuleParts = { byPeers: new Map(), namesPeerPorts: false };

/** One object serves all subjects. */
export class PartReader {
  readonly #cache: SelectorCache;
  /** Of rules that name no ports. */
  readonly #known: Readonly<Record<Direction, WeakMap<Rule, RuleParts>>> = {
    ingress: new WeakMap(),
    egress: new WeakMap(),
  };

  constructor(cache: SelectorCache) {
    this.#cache = cache;
  }

  partsOf(rule: Rule, direction: Direction, whose: PartsFor): RuleParts {
    const known = this.#known[direction].get(rule);
    if (known) return known;
    const items = rule.items.filter((item) => item.direction === direction);
    const parts = items.length === 0 ? NOTHING : this.#read(rule, items, direction, whose);
    if (!items.some(namesPorts)) this.#known[direction].set(rule, parts);
    return parts;
  }

  #read(
    rule: Rule,
    items: readonly RuleItem[],
    direction: Direction,
    { subject, names }: PartsFor,
  ): RuleParts {
    const parts = new PartList();
    let namesPeerPorts = false;
    for (const item of items) {
      const base = baseOf(rule, item);
      for (const peer of item.peers) {
        if (!item.ports) parts.add(peer, { ...base, key: ALL_PORTS });
        for (const { matches, l7 } of item.ports ?? []) {
          for (const match of matches) {
            if (match.kind === "name" && direction === "egress") {
              namesPeerPorts = true;
              this.#addPeerNamed(parts, peer, match, { ...base, l7 }, names);
              continue;
            }
            const keys = keysOf(match, subject.namedPorts);
            for (const key of keys) parts.add(peer, { ...base, key, l7 });
          }
        }
      }
    }
    return { byPeers: parts.byPeers, namesPeerPorts };
  }

  /** On egress a name means another port for every peer: one part for each port it comes to. */
  #addPeerNamed(
    parts: PartList,
    peer: Selector,
    match: NamedPort,
    base: Omit<Contribution, "key">,
    names: PortNames,
  ): void {
    const byKey = new Map<PortKey, Set<number>>();
    for (const identity of this.#cache.selection(peer)) {
      for (const key of keysOf(match, names.namedPortsOf(identity))) {
        const identities = byKey.get(key);
        if (identities) identities.add(identity);
        else byKey.set(key, new Set([identity]));
      }
    }
    for (const [key, identities] of byKey) {
      const peers = `${peer.key} ${match.protocol} ${match.name} ${key}`;
      parts.add(peer, { ...base, key }, peers, identities);
    }
  }
}

class PartList {
  readonly byPeers = new Map<string, RulePart & { contributions: Contribution[] }>();

  add(
    selector: Selector,
    contribution: Contribution,
    key = selector.key,
    identities?: ReadonlySet<number>,
  ): void {
    const known = this.byPeers.get(key);
    if (known) known.contributions.push(contribution);
    else {
      const part = { selector, contributions: [contribution] };
      this.byPeers.set(key, identities ? { ...part, identities } : part);
    }
  }
}

function namesPorts({ ports = [] }: RuleItem): boolean {
  return ports.some(({ matches }) => matches.some(({ kind }) => kind === "name"));
}

function baseOf(
  { tier = "normal", origin }: Rule,
  { verdict, priority = 0 }: RuleItem,
): Omit<Contribution, "key"> {
  const level = levelOf(tier, priority);
  return verdict === "watch" ? { level, verdict } : { level, verdict, origin };
}

function keysOf(match: PortMatch, named: PolicySubject["namedPorts"]): PortKey[] {
  if (match.kind === "range") return rangeKeys(match.protocol, match.first, match.last);
  const keys = new Set<PortKey>();
  for (const { name, port, protocol } of named) {
    if (name.toLowerCase() !== match.name || protocol !== match.protocol || port === 0) continue;
    for (const key of portRangeKeys(protocol, port, port)) keys.add(key);
  }
  return [...keys];
}

function rangeKeys(protocol: number, first: number, last: number): PortKey[] {
  return protocol === PROTOCOL.any ? [ALL_PORTS] : portRangeKeys(protocol, first, last);
}
