/**
 * Why a connection is allowed or not: the source's egress and the destination's ingress, each by
 * its own policies; both must allow.
 */
import { formatLabel } from "../../identity/label.ts";
import type { Rule } from "../rule.ts";
import type { EnforcementMode } from "../subject-policy.ts";
import { explainDirection } from "./direction.ts";
import type { DirectionView, EndView, PortView, TracedPort, TraceEnd, TraceView } from "./types.ts";

export interface TraceInput {
  source: TraceEnd;
  destination: TraceEnd;
  ports: readonly TracedPort[];
  rules: Iterable<Rule>;
  /** Default `default`. */
  mode?: EnforcementMode;
}

export function traceConnection(input: TraceInput): TraceView {
  const { source, destination, mode = "default" } = input;
  const rules = [...input.rules];
  const ports = input.ports.map((port): PortView => {
    const egress = explainDirection({
      ...{ direction: "egress", subject: source, peer: destination },
      ...{ port, rules, mode },
    });
    const ingress = explainDirection({
      ...{ direction: "ingress", subject: destination, peer: source },
      ...{ port, rules, mode },
    });
    return { port: port.text, verdict: together([egress, ingress]), egress, ingress };
  });
  const verdicts = ports.map(({ verdict }) => verdict);
  const verdict = verdicts.includes("error")
    ? "error"
    : verdicts.includes("denied")
      ? "denied"
      : "allowed";
  return { source: endView(source), destination: endView(destination), ports, verdict };
}

function together(directions: readonly DirectionView[]): PortView["verdict"] {
  const verdicts = directions.filter(({ isAudited }) => !isAudited).map(({ verdict }) => verdict);
  if (verdicts.includes("deny") || verdicts.includes("drop")) return "denied";
  return verdicts.includes("error") ? "error" : "allowed";
}

export function endView(end: TraceEnd): EndView {
  return {
    name: end.name,
    kind: end.kind,
    ...(end.endpoint === undefined ? {} : { endpoint: end.endpoint }),
    ...(end.isHypothetical ? {} : { identity: end.identity.id }),
    labels: end.identity.labels.map(formatLabel),
  };
}
