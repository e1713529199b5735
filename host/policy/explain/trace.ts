/**
 * Why a connection is allowed or not: the source's egress and the destination's ingress, each by
 * its own policies; both must allow.
 */
import { formatLabel } from "../../identity/label.ts";
import type { HostAccess } from "../lookup.ts";
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
  /** Default `always`. */
  hostAccess?: HostAccess;
}

export function traceConnection(input: TraceInput): TraceView {
  const { source, destination, mode = "default", hostAccess = "always" } = input;
  const rules = [...input.rules];
  const ports = input.ports.map((port): PortView => {
    const egress = explainDirection({
      ...{ direction: "egress", subject: source, peer: destination },
      ...{ port, rules, mode, hostAccess },
    });
    const ingress = explainDirection({
      ...{ direction: "ingress", subject: destination, peer: source },
      ...{ port, rules, mode, hostAccess },
    });
    return { port: port.text, verdict: together([egress, ingress]), egress, ingress };
  });
  return { source: endView(source), destination: endView(destination), ...overall(ports) };
}

/** `withInstalled` for each direction of each port; what the ports come to may be another then. */
export function withDirections(
  view: TraceView,
  look: (direction: DirectionView, index: number) => DirectionView,
): TraceView {
  const ports = view.ports.map((port, index): PortView => {
    const [egress, ingress] = [look(port.egress, index), look(port.ingress, index)];
    return { ...port, verdict: together([egress, ingress]), egress, ingress };
  });
  return { ...view, ...overall(ports) };
}

function overall(ports: PortView[]): Pick<TraceView, "ports" | "verdict"> {
  const verdicts = ports.map(({ verdict }) => verdict);
  const worst = (["error", "denied"] as const).find((one) => verdicts.includes(one));
  return { ports, verdict: worst ?? "allowed" };
}

const DENIALS: ReadonlySet<string> = new Set(["deny", "drop", "no-plugin"]);

function together(directions: readonly DirectionView[]): PortView["verdict"] {
  const verdicts = directions.filter(({ isAudited }) => !isAudited).map(({ verdict }) => verdict);
  if (verdicts.some((one) => DENIALS.has(one))) return "denied";
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
