/** A trace for people: both directions with what decided, and what was close to deciding. */
import type {
  DirectionVerdict,
  DirectionView,
  EndView,
  ItemView,
  L7View,
  MapEntryView,
  PortView,
  RuleView,
  TraceView,
} from "../policy/explain/types.ts";
import { listed, wrapped } from "./wrapped.ts";

const VERDICTS: Readonly<Record<DirectionVerdict, string>> = {
  allow: "ALLOWED",
  redirect: "ALLOWED at L3/L4, handed over for L7",
  deny: "DENIED by a rule (181)",
  drop: "DENIED by default (133)",
  "no-plugin": "DENIED: no plugin serves its L7 rules (222)",
  error: "NOT DECIDED: policies contradict each other, what was in force stays",
};

const AUDITED = ", but audit mode lets it pass";

/** Items that match neither peer nor port are shown if there are no more than this. */
const FAR_ITEMS_MAX = 8;

export function traceText(view: TraceView): string {
  const head =
    `from  ${endText(view.source)}\n${labelsText(view.source)}` +
    `to    ${endText(view.destination)}\n${labelsText(view.destination)}`;
  return head + view.ports.map(portText).join("");
}

function endText({ name, endpoint, identity, kind }: EndView): string {
  const facts = [
    ...(endpoint === undefined ? [] : [`endpoint ${endpoint}`]),
    identity === undefined ? "no such identity yet" : `identity ${identity}`,
    ...(kind === "pod" && endpoint === undefined ? ["no endpoint of this node"] : []),
    ...(kind === "node" ? ["the node"] : []),
  ];
  return `${name} (${facts.join(", ")})`;
}

/** Labels that all of a cluster or namespace have are left out. */
const COMMON_LABEL = /^k8s:(io\.cilium\.k8s\.policy\.cluster|.*kubernetes\.io\/metadata\.name)=/;

function labelsText({ labels }: EndView): string {
  const shown = labels.filter((label) => !COMMON_LABEL.test(label));
  return shown.length === 0 ? "" : wrapped(shown.join(" "), "        ", "      ");
}

function portText({ port, verdict, egress, ingress }: PortView): string {
  const outcome = verdict === "error" ? "NOT DECIDED" : verdict.toUpperCase();
  return `\n${port}: ${outcome}\n${directionText(egress)}${directionText(ingress)}`;
}

function directionText(view: DirectionView): string {
  const { direction, subject, verdict, fault, isAudited } = view;
  return [
    `\n  ${direction} of ${subject}: ${VERDICTS[verdict]}${isAudited ? AUDITED : ""}\n`,
    wrapped(view.reason, "    "),
    stepsText(view),
    view.l7 ? l7Text(view.l7, "    ") : "",
    ...rulesText(view.rules),
    setAsideText(view),
    mapText(view),
    fault === undefined ? "" : wrapped(fault, "    ", "    FAULT: "),
  ].join("");
}

/** Worth a line when a tier was passed. */
function stepsText({ steps }: DirectionView): string {
  if (steps.length < 2) return "";
  const texts = steps.map(({ tier, priority, verdict, policies }) => {
    const place = tier === "default" ? "default" : `${tier} tier, priority ${priority}`;
    return `${place}: ${verdict}${policies.length === 0 ? "" : ` by ${policies.join(", ")}`}`;
  });
  return wrapped(texts.join("; then "), "      ", "    steps: ");
}

function l7Text({ plugin, version, mode, failure, rules }: L7View, indent: string): string {
  const name = version === undefined ? plugin : `${plugin}@${version}`;
  const settings = [
    ...(mode === "enforce" ? [] : [`mode ${mode}`]),
    ...(failure === "closed" ? [] : [`failure ${failure}`]),
  ];
  const how = settings.length === 0 ? "" : ` (${settings.join(", ")})`;
  const what = rules.includes("*")
    ? "every request passes and is reported"
    : `a request passes if one matches: ${listed(rules, " | ")}`;
  return wrapped(`${name}${how}: ${what}`, `${indent}  `, `${indent}L7 by `);
}

function rulesText(rules: readonly RuleView[]): string[] {
  const items = rules.flatMap((rule) => rule.items);
  const far = items.filter(({ matchesPeer, matchesPort }) => !matchesPeer && !matchesPort);
  const isShown = (item: ItemView): boolean => far.length <= FAR_ITEMS_MAX || !far.includes(item);
  const texts = rules.flatMap((rule) => {
    const shown = rule.items.filter(isShown);
    // What it closes stands in the reason.
    if (shown.length === 0 && (rule.items.length > 0 || !rule.closes)) return [];
    const closes = rule.closes ? " (turns default deny on)" : "";
    return [`    ${rule.policy}${closes}\n`, ...shown.map(itemText)];
  });
  if (far.length <= FAR_ITEMS_MAX) return texts;
  return [...texts, `    and ${far.length} more that match neither peer nor port\n`];
}

function setAsideText({ setAside }: DirectionView): string {
  if (setAside === undefined) return "";
  const names = setAside.join(", ");
  return wrapped(`not asked, since a NetworkPolicy isolates the pod: ${names}`, "    ");
}

function itemText(item: ItemView): string {
  const { verdict, tier, priority, peers, ports, matchesPeer, matchesPort, decides } = item;
  const place = tier === "normal" && priority === 0 ? "" : ` [${tier} tier, priority ${priority}]`;
  const on = ports.length === 0 ? "all ports" : listed(ports, ", ");
  const what = `${verdict} ${listed(peers, "; ")} on ${on}${place}: ${matchText()}`;
  return wrapped(what, "          ", decides ? "      * " : "      - ");

  function matchText(): string {
    if (decides) return "decides";
    if (matchesPeer && matchesPort && verdict === "watch") return "shown to its plugin if allowed";
    if (matchesPeer && matchesPort) return "matches, but others decide";
    if (matchesPeer) return "another port";
    return matchesPort ? "another peer" : "another peer and port";
  }
}

function mapText({ entry, installed, verdict }: DirectionView): string {
  if (verdict === "error") return "";
  if (installed === undefined && !entry && verdict !== "drop") return "";
  const wanted = entry ? entryText(entry) : "no entry";
  const compared = installed && isSame(entry, installed.entry) ? ", as in the kernel" : "";
  return `    policy map: ${wanted}${compared}\n`;
}

function isSame(a: MapEntryView | undefined, b: MapEntryView | undefined): boolean {
  return a?.precedence === b?.precedence && a?.action === b?.action && a?.identity === b?.identity;
}

function entryText({ identity, protocol, port, portPrefix, precedence, action }: MapEntryView) {
  const peer = identity === 0 ? "any peer" : "this peer";
  const place =
    protocol === 0 ? "all protocols" : `protocol ${protocol} port ${port}/${portPrefix}`;
  return `${action}, ${peer}, ${place}, precedence 0x${precedence.toString(16)}`;
}
