/**
 * What the kernel's own map says about a traced packet, beside what the policies come to. On a node
 * in order both are the same; where they are not, the explanation is wrong or the enforcement is.
 */
import { createLookup, isFromHost } from "../lookup.ts";
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
  const isUnserved = entry?.l7 === NO_RULES || passesUnseen(view, found, false);
  const served = isUnserved ? withoutPlugin(view) : view;
  const compared = { ...served, installed: found ? { entry: found } : {} };
  if (isSame(view, found, isFromHost(packet))) return compared;
  const what =
    `the kernel's map has ${entryText(found)} for this packet, ` +
    `the policies come to ${entryText(view.entry)}`;
  return { ...compared, fault: lag === undefined ? what : `${what} (${lag})` };
}

/** The node's own connections to its pods need no plugin: they are an `allow`. */
function withoutPlugin(view: DirectionView): DirectionView {
  if (view.verdict !== "redirect") return view;
  const { plugin, failure } = view.l7 ?? {};
  const why = `there is no plugin ${plugin} that can serve it`;
  if (failure === "open") {
    return { ...view, verdict: "allow", reason: `${view.reason}; it passes unseen: ${why}` };
  }
  return { ...view, verdict: "no-plugin", reason: `${view.reason}, but ${why}` };
}

/**
 * Where nobody can serve the rules and the policy says to go on without, it is a plain allow. For
 * the node no rules count, so nothing tells what they would have said.
 */
function passesUnseen(
  { entry, l7 }: DirectionView,
  found: MapEntryView | undefined,
  isNode: boolean,
): boolean {
  const isPlain = entry?.action === "redirect" && found?.action === "allow";
  return isPlain && (isNode || l7?.failure === "open");
}

function isSame(view: DirectionView, found: MapEntryView | undefined, isNode: boolean): boolean {
  const { entry } = view;
  if (!entry || !found) return entry === found;
  return (
    (entry.action === found.action || passesUnseen(view, found, isNode)) &&
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
