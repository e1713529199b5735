/**
 * The words the hubble command line prints for a flow: who, what kind of event, which verdict. The
 * line formats (compact, tab, dict) arrange them.
 */
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { dropReason } from "../../datapath/drop-reason.ts";
import { EVENT_TYPE } from "../flow-facts.ts";
import {
  AuthType,
  AuthTypeSchema,
  DebugCapturePoint,
  DebugCapturePointSchema,
  type Endpoint,
  type Flow,
  L7FlowTypeSchema,
  type LostEvent,
  LostEventSourceSchema,
  type Policy,
  SocketTranslationPoint,
  SocketTranslationPointSchema,
  TrafficDirection,
  TrafficDirectionSchema,
  Verdict,
  VerdictSchema,
} from "../gen/flow/flow_pb.ts";

export interface FormatOptions {
  /** Print the node of each flow. */
  readonly node?: boolean;
  /** Name the policies behind policy verdicts. */
  readonly policyNames?: boolean;
}

const EVENT_CAPTURE = 3;
const EVENT_TRACE_SOCK = 7;
const NS_PER_MS = 1_000_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const RESERVED_IDENTITIES: readonly string[] = [
  "unknown",
  "host",
  "world",
  "unmanaged",
  "health",
  "init",
  "remote-node",
  "kube-apiserver",
  "ingress",
  "world-ipv4",
  "world-ipv6",
];

/** By sub type of trace events. */
const TRACE_POINTS: readonly string[] = [
  "to-endpoint",
  "to-proxy",
  "to-host",
  "to-stack",
  "to-overlay",
  "from-endpoint",
  "from-proxy",
  "from-host",
  "from-stack",
  "from-overlay",
  "from-network",
  "to-network",
  "from-crypto",
  "to-crypto",
];

const POLICY_MATCH_TYPES: readonly string[] = [
  "none",
  "L3-Only",
  "L3-L4",
  "L4-Only",
  "all",
  "L3-Proto",
  "Proto-Only",
];

const SOCK_POINTS: Readonly<Record<number, string>> = {
  [SocketTranslationPoint.SOCK_XLATE_POINT_PRE_DIRECTION_FWD]: "pre-xlate-fwd",
  [SocketTranslationPoint.SOCK_XLATE_POINT_POST_DIRECTION_FWD]: "post-xlate-fwd",
  [SocketTranslationPoint.SOCK_XLATE_POINT_PRE_DIRECTION_REV]: "pre-xlate-rev",
  [SocketTranslationPoint.SOCK_XLATE_POINT_POST_DIRECTION_REV]: "post-xlate-rev",
};

/** `Nov 24 04:05:42.123`, in UTC; days below ten are padded with a space. */
export function timeText(time: Timestamp | undefined): string {
  if (time === undefined) return "N/A";
  const date = new Date(Number(time.seconds) * 1_000 + Math.floor(time.nanos / NS_PER_MS));
  if (Number.isNaN(date.getTime())) return "N/A";
  const day = String(date.getUTCDate()).padStart(2, " ");
  return `${MONTHS[date.getUTCMonth()]} ${day} ${date.toISOString().slice(11, 23)}`;
}

/** Source and destination with their ports: pod, else service, else names, else address. */
export function hostTexts(flow: Flow): [source: string, destination: string] {
  if (flow.IP === undefined) {
    return [flow.ethernet?.source ?? "", flow.ethernet?.destination ?? ""];
  }
  const [sourcePort, destinationPort] = ports(flow);
  return [
    hostText(flow.IP.source, sourcePort, {
      endpoint: flow.source,
      service: flow.sourceService,
      names: flow.sourceNames,
    }),
    hostText(flow.IP.destination, destinationPort, {
      endpoint: flow.destination,
      service: flow.destinationService,
      names: flow.destinationNames,
    }),
  ];
}

interface HostNames {
  readonly endpoint: Endpoint | undefined;
  readonly service: Flow["sourceService"];
  readonly names: readonly string[];
}

function hostText(ip: string, port: number, { endpoint, service, names }: HostNames): string {
  // The namespace of a service goes before that of the endpoint, whichever name is printed.
  const namespace = service?.namespace ?? endpoint?.namespace ?? "";
  const name = endpoint?.podName || service?.name || "";
  let host = ip;
  if (name !== "") host = namespace === "" ? name : `${namespace}/${name}`;
  else if (names.length > 0) host = names.join(",");
  if (port === 0) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function ports(flow: Flow): [source: number, destination: number] {
  const protocol = flow.l4?.protocol;
  switch (protocol?.case) {
    case "TCP":
    case "UDP":
    case "SCTP":
      return [protocol.value.sourcePort, protocol.value.destinationPort];
    default:
      return [0, 0];
  }
}

/** `(ID:26450)`, or the name of a reserved identity. */
export function identityText(endpoint: Endpoint | undefined): string {
  const identity = endpoint?.identity ?? 0;
  return `(${RESERVED_IDENTITIES[identity] ?? `ID:${identity}`})`;
}

/** The TYPE column. */
export function typeText(flow: Flow): string {
  if (flow.l7 !== undefined) return messageType(flow.l7);
  const type = flow.eventType?.type ?? 0;
  const subType = flow.eventType?.subType ?? 0;
  switch (type) {
    case EVENT_TYPE.trace:
      return TRACE_POINTS[subType] ?? String(subType);
    case EVENT_TYPE.drop:
      return dropReason(subType).text;
    case EVENT_TYPE.policyVerdict: {
      const match = POLICY_MATCH_TYPES[flow.policyMatchType] ?? String(flow.policyMatchType);
      const direction = enumName(TrafficDirectionSchema, flow.trafficDirection);
      return `policy-verdict:${match} ${direction}`;
    }
    case EVENT_CAPTURE:
      return enumName(
        DebugCapturePointSchema,
        flow.debugCapturePoint ?? DebugCapturePoint.DBG_CAPTURE_POINT_UNKNOWN,
      );
    case EVENT_TRACE_SOCK:
      return (
        SOCK_POINTS[flow.sockXlatePoint] ??
        enumName(SocketTranslationPointSchema, flow.sockXlatePoint)
      );
    default:
      return "UNKNOWN";
  }
}

function messageType(l7: NonNullable<Flow["l7"]>): string {
  const type = enumName(L7FlowTypeSchema, l7.type).toLowerCase();
  switch (l7.record.case) {
    case "http":
      return `http-${type}`;
    case "dns":
      return `dns-${type} ${l7.record.value.observationSource}`;
    case "kafka":
      return `kafka-${type}`;
    default:
      return `l7-${type}`;
  }
}

/** The VERDICT column; policy verdicts have words of their own. */
export function verdictText(flow: Flow, options: FormatOptions): string {
  const name = enumName(VerdictSchema, flow.verdict);
  if (flow.eventType?.type !== EVENT_TYPE.policyVerdict) return name;
  const isEgress = flow.trafficDirection === TrafficDirection.EGRESS;
  const allowedBy = isEgress ? flow.egressAllowedBy : flow.ingressAllowedBy;
  const deniedBy = isEgress ? flow.egressDeniedBy : flow.ingressDeniedBy;
  switch (flow.verdict) {
    case Verdict.FORWARDED:
    case Verdict.REDIRECTED:
      return `ALLOWED${policyText(allowedBy, options)}`;
    case Verdict.DROPPED:
    case Verdict.ERROR:
      return `DENIED${policyText(deniedBy, options)}`;
    case Verdict.AUDIT:
      return "AUDITED";
    default:
      return name;
  }
}

function policyText(policies: readonly Policy[], options: FormatOptions): string {
  if (options.policyNames !== true) return "";
  const names = policies
    .filter(({ name, kind }) => name !== "" && kind !== "")
    .map(({ name, kind }) => `${name} (${kind})`);
  return names.length === 0 ? "" : ` BY ${names.join(", ")}`;
}

/** The SUMMARY column. */
export function summaryText(flow: Flow): string {
  const traceId = flow.ipTraceId?.traceId ?? 0n;
  const prefix = traceId > 0n ? `IP Trace ID: ${traceId}; ` : "";
  const isPlain = flow.authType === AuthType.DISABLED;
  const auth = isPlain ? "" : `; Auth: ${enumName(AuthTypeSchema, flow.authType)}`;
  return `${prefix}${flow.Summary}${auth}`;
}

export function lossSourceText(loss: LostEvent): string {
  return enumName(LostEventSourceSchema, loss.source);
}

/** What a client is told of a loss; the separator differs between the formats. */
export function lossText(loss: LostEvent, separator: string): string {
  const count = `CPU(${loss.cpu ?? 0})${separator}${loss.numEventsLost}`;
  if (loss.first === undefined || loss.last === undefined) return count;
  return `${count} (first: ${timeText(loss.first)}, last: ${timeText(loss.last)})`;
}

/**
 * Traffic chooses parts of what is printed (URLs, header values): nothing of it may reach the
 * terminal as a control sequence or start a line of its own.
 */
export function terminalSafe(text: string): string {
  return text.replace(CONTROL, (character) => ESCAPES[character] ?? hexEscape(character));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it removes
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const ESCAPES: Readonly<Record<string, string>> = { "\u001b": "^[", "\r": "\\r", "\n": "\\n" };

function hexEscape(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function enumName(
  schema: { readonly value: Readonly<Record<number, { readonly name: string }>> },
  value: number,
): string {
  return schema.value[value]?.name ?? String(value);
}
