/** What a change of policies does, for people: first what was seen, then what is possible. */
import type {
  ChangedAccess,
  ChangeKind,
  DiffView,
  Effect,
  EndpointDiff,
  FlowChange,
} from "../policy/explain/diff-types.ts";
import type { Direction } from "../policy/rule.ts";
import { listed, wrapped } from "./wrapped.ts";

const KINDS: Readonly<Record<ChangeKind, string>> = {
  allowed: "+ newly allowed",
  denied: "- newly denied",
  l7: "~ other L7 rules",
};

export function diffText(view: DiffView): string {
  const { flows, flowsSeen, endpoints, endpointsCount } = view;
  if (!view.isDifferent) {
    return `no difference for any of ${counted(endpointsCount, "endpoint")}\n`;
  }
  const seen = `${counted(flowsSeen, "decision")} seen lately`;
  const told =
    flows.length === 0
      ? `none of ${seen} would fare otherwise\n`
      : `of ${seen}, these would fare otherwise:\n\n${flows.map(flowText).join("")}`;
  const head = `\n${endpoints.length} of ${counted(endpointsCount, "endpoint")} would change:\n`;
  return told + head + endpoints.map(endpointText).join("");
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function flowText(flow: FlowChange): string {
  const { change, direction, source, destination, port, count, before, after, lastSeen } = flow;
  const head = `${count} × ${source} -> ${destination} ${port} (${direction}, last ${lastSeen})`;
  return (
    wrapped(head, "      ", `  ${KINDS[change]}: `) +
    wrapped(`${effectText(before)} -> ${effectText(after)}`, "        ", "      ")
  );
}

function effectText({ verdict, policies, l7 }: Effect): string {
  const by = policies.length === 0 ? "" : ` by ${policies.join(", ")}`;
  switch (verdict) {
    case "deny":
      return `denied${by}`;
    case "drop":
      return "denied by default";
    case "allow":
      return by === "" ? "allowed without a rule" : `allowed${by}`;
    case "redirect": {
      const mode = l7 === undefined || l7.mode === "enforce" ? "" : `, ${l7.mode} only`;
      return `to ${l7?.plugin ?? "a plugin"}${mode} for [${listed(l7?.rules ?? [], " | ")}]${by}`;
    }
    default:
      return verdict satisfies never;
  }
}

function endpointText(diff: EndpointDiff): string {
  const { name, entriesBefore, entriesAfter, changes, changesLeftOut, trouble } = diff;
  const size =
    entriesBefore === undefined || entriesAfter === undefined || entriesBefore === entriesAfter
      ? ""
      : `, policy map ${entriesBefore} -> ${entriesAfter} entries`;
  const more = changesLeftOut > 0 ? `    and ${changesLeftOut} more changes\n` : "";
  return [
    `\n  ${name} (endpoint ${diff.endpoint}${size})\n`,
    trouble === undefined ? "" : wrapped(trouble, "      ", "    NOT IN FORCE: "),
    ...(["ingress", "egress"] as const).map((direction) => enforcementText(diff, direction)),
    ...changes.map(changeText),
    more,
  ].join("");
}

function enforcementText(
  { isEnforcedBefore, isEnforcedAfter }: EndpointDiff,
  direction: Direction,
): string {
  if (isEnforcedBefore[direction] === isEnforcedAfter[direction]) return "";
  const to = isEnforcedAfter[direction] ? "on" : "off";
  return `    default deny of ${direction} goes ${to}\n`;
}

function changeText(access: ChangedAccess): string {
  const { change, direction, peers, peersCount, ports, before, after } = access;
  const way = direction === "ingress" ? "from" : "to";
  const what = `${way} ${listed(peers, "; ", peersCount)} on ${listed(ports, ", ")}`;
  return (
    wrapped(what, "        ", `    ${KINDS[change]}: ${direction} `) +
    wrapped(`${effectText(before)} -> ${effectText(after)}`, "          ", "        ")
  );
}
