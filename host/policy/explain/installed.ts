/**
 * What the kernel's own map says about a traced packet, beside what the policies come to. On a node
 * in order both are the same; where they are not, the explanation is wrong or the enforcement is.
 */
import { createLookup } from "../lookup.ts";
import type { L7Rules, PolicyOrigin, ResolvedEntry } from "../types.ts";
import { entryView } from "./direction.ts";
import type { DirectionView, MapEntryView, TracedPort } from "./types.ts";

/** A row of a policy map as it is read back. */
export interface InstalledRow extends Omit<ResolvedEntry, "origins" | "l7"> {
  redirect: boolean;
  /** 0: no plugin can serve the rules. */
  ruleSet: number;
  cookie: number;
}

export interface InstalledMap {
  rows: readonly InstalledRow[];
  originsOf: (cookie: number) => readonly PolicyOrigin[];
  /** Why the map may lag behind the policies; absent: it must not. */
  lag?: string;
}

const SOME_RULES: L7Rules = { plugin: "", rules: [] };
const NO_RULES: L7Rules = { plugin: "", rules: [] };

/** The view with what is installed, and with a fault if that decides otherwise. */
export function withInstalled(
  view: DirectionView,
  { rows, originsOf, lag }: InstalledMap,
  peer: number,
  { protocol, port }: TracedPort,
): DirectionView {
  // Policies that contradict each other leave the map as it was.
  if (view.verdict === "error") return view;
  const entries = rows.map(({ redirect, ruleSet, cookie, ...row }) => ({
    ...row,
    ...(redirect ? { l7: ruleSet === 0 ? NO_RULES : SOME_RULES } : {}),
    origins: originsOf(cookie),
  }));
  const packet = { direction: view.direction, identity: peer, protocol, port };
  const { entry } = createLookup(entries)(packet);
  const found = entry && entryView(entry);
  const served = entry?.l7 === NO_RULES ? withoutPlugin(view) : view;
  const compared = { ...served, installed: found ? { entry: found } : {} };
  if (isSame(view, found)) return compared;
  const what =
    `the kernel's map has ${entryText(found)} for this packet, ` +
    `the policies come to ${entryText(view.entry)}`;
  return { ...compared, fault: lag === undefined ? what : `${what} (${lag})` };
}

/** The node's own connections to its pods need no plugin: they are an `allow`. */
function withoutPlugin(view: DirectionView): DirectionView {
  if (view.verdict !== "redirect") return view;
  const reason = `${view.reason}, but there is no plugin ${view.l7?.plugin ?? ""} that can serve it`;
  return { ...view, verdict: "no-plugin", reason };
}

function isSame({ entry, l7 }: DirectionView, found: MapEntryView | undefined): boolean {
  if (!entry || !found) return entry === found;
  // Where nobody can serve the rules and the policy says to go on without, it is a plain allow.
  const passes = found.action === "allow" && l7?.failure === "open";
  return (
    (entry.action === found.action || passes) &&
    entry.identity === found.identity &&
    entry.protocol === found.protocol &&
    entry.port === found.port &&
    entry.portPrefix === found.portPrefix &&
    entry.precedence === found.precedence
  );
}

/** `redirect for identity 257 on 6:80/16`. */
function entryText(entry: MapEntryView | undefined): string {
  if (!entry) return "no entry";
  const { action, identity, protocol, port, portPrefix, precedence } = entry;
  const peer = identity === 0 ? "anyone" : `identity ${identity}`;
  const place = protocol === 0 ? "every port" : `${protocol}:${port}/${portPrefix}`;
  return `${action} for ${peer} on ${place} with precedence 0x${precedence.toString(16)}`;
}
