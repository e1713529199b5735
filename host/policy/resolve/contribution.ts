/**
 * What the rules of one subject contribute to one direction: this peer set, these ports, allow,
 * deny or pass, with or without L7 rules. Named ports are looked up here, ranges become port keys.
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
import { refuseOtherParser } from "./conflict.ts";
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

/** Contributions that share their peers. */
export interface PeerGroup {
  /** Equal for equal peers. */
  key: string;
  /** Of the selector whose selection this is, or a part of it. */
  selector: string;
  /** Live, unless it is a part. */
  identities: ReadonlySet<number>;
  contributions: Contribution[];
}

export interface DirectionContributions {
  /** For any peer, known or not. */
  any: Contribution[];
  /** By key, so that what comes of them does not depend on the order of the rules. */
  groups: PeerGroup[];
  /** Peers' container ports count: another port of a peer changes the groups. */
  namesPeerPorts: boolean;
}

export interface PortNames {
  /** Container ports of a peer, for named ports in egress rules. */
  namedPortsOf: (identity: number) => PolicySubject["namedPorts"];
}

/** Contributions of these rules, all of which select the subject. */
export function collect(
  rules: readonly Rule[],
  direction: Direction,
  cache: SelectorCache,
  subject: PolicySubject,
  names: PortNames,
): DirectionContributions {
  const any: Contribution[] = [];
  const groups = new Map<string, PeerGroup>();
  const parsers = new Map<string, { l7: RuleL7; origin: PolicyOrigin }>();
  let namesPeerPorts = false;

  for (const rule of rules) {
    for (const item of rule.items) {
      if (item.direction !== direction) continue;
      for (const peer of item.peers) addItem(rule, item, peer);
    }
  }
  const sorted = [...groups.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return { any, groups: sorted, namesPeerPorts };

  function addItem(rule: Rule, item: RuleItem, peer: Selector): void {
    const base = baseOf(rule, item);
    if (!item.ports) add(peer, { ...base, key: ALL_PORTS });
    for (const { matches, l7 } of item.ports ?? []) {
      for (const match of matches) {
        if (match.kind === "name" && direction === "egress") {
          addPeerNamed(peer, match, { ...base, l7 });
          continue;
        }
        for (const key of keysOf(match, subject.namedPorts)) add(peer, { ...base, key, l7 });
      }
    }
  }

  function baseOf({ tier = "normal", origin }: Rule, item: RuleItem): Omit<Contribution, "key"> {
    const { verdict, priority = 0 } = item;
    const level = levelOf(tier, priority);
    return verdict === "watch" ? { level, verdict } : { level, verdict, origin };
  }

  function add(peer: Selector, contribution: Contribution): void {
    rememberParser(peer, contribution);
    if (peer.kind === "any") any.push(contribution);
    else {
      const group = groupOf(peer.key, peer, () => cache.selection(peer));
      group.contributions.push(contribution);
    }
  }

  /** On egress a name means another port for every peer: one group for each port it comes to. */
  function addPeerNamed(peer: Selector, match: NamedPort, base: Omit<Contribution, "key">): void {
    const byKey = new Map<PortKey, Set<number>>();
    namesPeerPorts = true;
    for (const identity of cache.selection(peer)) {
      for (const key of keysOf(match, names.namedPortsOf(identity))) {
        const identities = byKey.get(key);
        if (identities) identities.add(identity);
        else byKey.set(key, new Set([identity]));
      }
    }
    for (const [key, identities] of byKey) {
      const contribution = { ...base, key };
      rememberParser(peer, contribution);
      const part = `${peer.key} ${match.protocol} ${match.name} ${key}`;
      const group = groupOf(part, peer, () => identities);
      group.contributions.push(contribution);
    }
  }

  function groupOf(
    key: string,
    { key: selector }: Selector,
    identities: () => ReadonlySet<number>,
  ): PeerGroup {
    const known = groups.get(key);
    if (known) return known;
    const group = { key, selector, identities: identities(), contributions: [] };
    groups.set(key, group);
    return group;
  }

  /** Two parsers on one peer and port are an error even while no such peer is there. */
  function rememberParser(peer: Selector, { key, level, l7, origin }: Contribution): void {
    if (!l7 || !origin) return;
    const place = `${level} ${key} ${peer.key}`;
    const known = parsers.get(place);
    if (known) refuseOtherParser(known, { l7, origin }, direction, key);
    // One that is pinned is what all others must agree with.
    if (known?.l7.rules.version === undefined) parsers.set(place, { l7, origin });
  }
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
