import { describe, expect, test } from "vitest";
import type { DatapathEvent } from "../datapath/types.ts";
import type { RingEntry } from "./flow-facts.ts";
import { flowMessage } from "./flow-message.ts";
import {
  type Flow,
  TraceObservationPoint,
  TraceReason,
  TrafficDirection,
  Verdict,
} from "./gen/flow/flow_pb.ts";
import { collectingBuilder, NODE, SYN } from "./testing/fixture.ts";

const { INGRESS, EGRESS } = TrafficDirection;
const { FORWARDED, DROPPED, REDIRECTED, AUDIT } = Verdict;

function message(entry: RingEntry | undefined): Flow {
  if (entry?.kind !== "flow") throw new Error("no flow");
  return flowMessage(entry, { node: NODE, uuidSalt: 1n, extension: "plugin-info" });
}

function packet(change: Partial<DatapathEvent>): Flow {
  const { builder, entries } = collectingBuilder();
  builder.packet({ ...SYN, ...change });
  return message(entries[0]);
}

describe("packet()", () => {
  const reply = {
    source: "10.0.0.2",
    destination: "10.0.0.1",
    sourcePort: 8_080,
    destinationPort: 33_044,
    protocol: 6,
  };
  test.each<[string, Partial<DatapathEvent>, Partial<Flow>]>([
    [
      "a trace forwards",
      {},
      {
        verdict: FORWARDED,
        isReply: false,
        trafficDirection: INGRESS,
        traceReason: TraceReason.NEW,
        traceObservationPoint: TraceObservationPoint.TO_ENDPOINT,
        Summary: "TCP Flags: SYN",
      },
    ],
    [
      "a reply keeps the direction of its connection",
      { direction: "egress", isReply: true, reason: 2, tcpFlags: 0x12, tuple: reply },
      {
        verdict: FORWARDED,
        isReply: true,
        reply: true,
        trafficDirection: INGRESS,
        traceReason: TraceReason.REPLY,
        Summary: "TCP Flags: SYN, ACK",
      },
    ],
    [
      "the reply is taken from the reason when the datapath does not say",
      { isReply: undefined, reason: 2, endpoint: 1, tuple: reply },
      { isReply: true, trafficDirection: EGRESS },
    ],
    [
      "a trace without connection tracking has no reply",
      { isReply: undefined, reason: 5, subType: 7 },
      {
        isReply: undefined as never,
        traceReason: TraceReason.TRACE_REASON_UNKNOWN,
        traceObservationPoint: TraceObservationPoint.FROM_HOST,
      },
    ],
    [
      "a drop has a reason and no reply",
      { type: 1, subType: 133, isReply: undefined, direction: "egress" },
      { verdict: DROPPED, dropReason: 133, dropReasonDesc: 133, trafficDirection: EGRESS },
    ],
    [
      "a drop reason of ours stays a number",
      { type: 1, subType: 220 },
      { dropReasonDesc: 220 as never },
    ],
    [
      "an allowing verdict names its policies",
      { type: 5, reason: 2, cookie: 7 },
      { verdict: FORWARDED, isReply: false, policyMatchType: 2, dropReason: 0 },
    ],
    [
      "a redirecting verdict",
      { type: 5, verdict: 1, reason: 3 },
      { verdict: REDIRECTED, isReply: false },
    ],
    [
      "a verdict of audit mode",
      { type: 5, verdict: 0, reason: 0, audited: true },
      { verdict: AUDIT, isReply: false, dropReason: 0, policyMatchType: 0 },
    ],
    [
      "a denying verdict",
      { type: 5, verdict: -133, isReply: undefined },
      { verdict: DROPPED, dropReasonDesc: 133, policyMatchType: 0 },
    ],
  ])("%s", (_name, event, expected) => {
    const flow = packet(event);
    expect(flow).toMatchObject(
      Object.fromEntries(Object.entries(expected).filter(([, v]) => v !== undefined)),
    );
    if ("isReply" in expected) expect(flow.isReply).toBe(expected.isReply);
    expect(flow.eventType).toMatchObject({
      type: event.type ?? 4,
      subType: event.type === 5 ? 0 : (event.subType ?? 0),
    });
  });

  test.each<[string, Partial<DatapathEvent>, Partial<Record<keyof Flow, string[]>>]>([
    ["ingress allow", { type: 5, cookie: 7 }, { ingressAllowedBy: ["web"] }],
    [
      "egress redirect",
      { type: 5, cookie: 7, verdict: 1, direction: "egress" },
      { egressAllowedBy: ["web"] },
    ],
    ["no rule allows", { type: 5, cookie: 7, verdict: -133 }, { ingressDeniedBy: ["web"] }],
    [
      "a rule denies",
      { type: 5, cookie: 7, verdict: -181, direction: "egress" },
      { egressDeniedBy: ["web"] },
    ],
    [
      "a rule would have denied",
      { type: 5, cookie: 7, verdict: 0, audited: true },
      { ingressDeniedBy: ["web"] },
    ],
    [
      "no plugin serves its rules",
      { type: 5, cookie: 7, verdict: -222 },
      { ingressDeniedBy: ["web"] },
    ],
    ["dropped for another reason", { type: 5, cookie: 7, verdict: -155 }, {}],
    ["no cookie", { type: 5, cookie: 0 }, {}],
    ["only verdict events name policies", { type: 4, cookie: 7 }, {}],
  ])("policies of: %s", (_name, event, expected) => {
    const flow = packet(event);
    const names = (policies: Flow["ingressAllowedBy"]): string[] =>
      policies.map(({ name }) => name);
    expect({
      ingressAllowedBy: names(flow.ingressAllowedBy),
      egressAllowedBy: names(flow.egressAllowedBy),
      ingressDeniedBy: names(flow.ingressDeniedBy),
      egressDeniedBy: names(flow.egressDeniedBy),
    }).toEqual({
      ingressAllowedBy: [],
      egressAllowedBy: [],
      ingressDeniedBy: [],
      egressDeniedBy: [],
      ...expected,
    });
    const isNamed = Object.keys(expected).length > 0;
    expect(flow.policyLog).toEqual(isNamed ? ["ticket-1", "ticket-2"] : []);
  });

  const icmp = { ...SYN.tuple, destinationPort: 0 };
  test.each<[string, Partial<DatapathEvent>]>([
    ["TCP Flags: SYN, ACK, RST, FIN, PSH, URG, ECE, CWR", { tcpFlags: 0xff }],
    ["TCP Flags: ", { tcpFlags: 0 }],
    ["UDP", { tuple: { ...SYN.tuple, protocol: 17 } }],
    ["SCTP", { tuple: { ...SYN.tuple, protocol: 132 } }],
    ["ICMPv4 EchoRequest", { tuple: { ...icmp, protocol: 1, sourcePort: 8 << 8 } }],
    ["ICMPv4 EchoReply", { tuple: { ...icmp, protocol: 1, sourcePort: 0 } }],
    ["ICMPv4 DestinationUnreachable(Port)", { tuple: { ...icmp, protocol: 1, sourcePort: 0x303 } }],
    ["ICMPv4 EchoRequest(Code: 9)", { tuple: { ...icmp, protocol: 1, sourcePort: 0x809 } }],
    ["ICMPv4 77(1)", { tuple: { ...icmp, protocol: 1, sourcePort: (77 << 8) | 1 } }],
    ["ICMPv6 NeighborSolicitation", { tuple: { ...icmp, protocol: 58, sourcePort: 135 << 8 } }],
    ["", { tuple: { ...icmp, protocol: 47 } }],
  ])("summary %j", (summary, event) => {
    expect(packet(event).Summary).toBe(summary);
  });

  test("joins pods, names, services and interfaces", () => {
    const tuple = { ...SYN.tuple, destination: "192.0.2.1" };
    const world = packet({ direction: "egress", endpoint: 1, destinationIdentity: 2, tuple });
    expect(world).toMatchObject({
      nodeName: "default/node-1",
      source: {
        ID: 1,
        identity: 26_450,
        namespace: "default",
        podName: "a",
        clusterName: "default",
      },
      destination: { ID: 0, identity: 2, labels: ["reserved:world"], podName: "" },
      destinationNames: ["example.com"],
      sourceNames: [],
      interface: { index: 5, name: "lxc5" },
      ethernet: { source: "0a:00:00:00:00:01" },
      emitter: { name: "Hubble", version: "0.1.0" },
    });
    const service = packet({
      tuple: { ...SYN.tuple, destination: "10.96.0.1", destinationPort: 80 },
    });
    expect(service.destinationService).toMatchObject({ name: "web", namespace: "default" });
  });

  test("keeps the identity the packet had when the pod has another by now", () => {
    expect(packet({ sourceIdentity: 99 }).source).toMatchObject({
      ID: 1,
      identity: 99,
      labels: [],
    });
  });

  test("ignores events that are no flows", () => {
    const { builder, entries } = collectingBuilder();
    builder.packet({ ...SYN, type: 2 });
    expect(entries).toEqual([]);
  });
});
