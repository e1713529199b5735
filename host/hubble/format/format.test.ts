/** Compact, dictionary and JSON text of flows, line for line as the hubble CLI prints them. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { FlowSchema, LostEventSource, TrafficDirection, Verdict } from "../gen/flow/flow_pb.ts";
import { type GetFlowsResponse, GetFlowsResponseSchema } from "../gen/observer/observer_pb.ts";
import { formatCompact } from "./compact.ts";
import { formatDict } from "./dict.ts";
import { formatJson, parseJson } from "./json.ts";

/** 2026-11-24 04:05:42.123456789 UTC */
const AT = { seconds: 1_795_493_142n, nanos: 123_456_789 };
const A = { identity: 26_450, namespace: "default", podName: "a" };
const B = { identity: 32_531, namespace: "default", podName: "b" };
const IPS = { source: "10.0.0.1", destination: "10.0.0.2" };

function tcp(
  sourcePort: number,
  destinationPort: number,
): MessageInitShape<typeof FlowSchema>["l4"] {
  return { protocol: { case: "TCP", value: { sourcePort, destinationPort } } };
}

type FlowInit = Exclude<MessageInitShape<typeof FlowSchema>, { $typeName: string }>;

function response(flow: FlowInit): GetFlowsResponse {
  const value = create(FlowSchema, { time: AT, nodeName: "default/node-1", ...flow });
  return create(GetFlowsResponseSchema, {
    responseTypes: { case: "flow", value },
    time: AT,
    nodeName: "default/node-1",
  });
}

const SYN: FlowInit = {
  IP: IPS,
  l4: tcp(33_044, 8_080),
  source: A,
  destination: B,
  Summary: "TCP Flags: SYN",
};
const DENIED: FlowInit = {
  ...SYN,
  verdict: Verdict.DROPPED,
  eventType: { type: 5 },
  trafficDirection: TrafficDirection.INGRESS,
  ingressDeniedBy: [
    { name: "web", kind: "CiliumNetworkPolicy" },
    { name: "all", kind: "CiliumClusterwideNetworkPolicy" },
  ],
};

describe("formatCompact()", () => {
  // The first four are lines of the real command line.
  test.each<[string, FlowInit]>([
    [
      "example.com:8080 (world) <- default/a:33044 (ID:26450) http-response FORWARDED (HTTP/1.1 200 4ms (GET http://web/))",
      {
        verdict: Verdict.FORWARDED,
        isReply: true,
        IP: { source: "10.0.0.1", destination: "192.0.2.1" },
        l4: tcp(33_044, 8_080),
        source: A,
        destination: { identity: 2 },
        destinationNames: ["example.com"],
        l7: { type: 2, record: { case: "http", value: { code: 200 } } },
        eventType: { type: 129 },
        Summary: "HTTP/1.1 200 4ms (GET http://web/)",
      },
    ],
    [
      "default/a:33044 (ID:26450) <> default/b:8080 (ID:32531) Policy denied DROPPED (TCP Flags: SYN)",
      { ...SYN, verdict: Verdict.DROPPED, eventType: { type: 1, subType: 133 } },
    ],
    [
      "default/a:33044 (ID:26450) <> default/b:8080 (ID:32531) policy-verdict:none INGRESS DENIED (TCP Flags: SYN)",
      DENIED,
    ],
    [
      "default/a:33044 (ID:26450) -> default/b:8080 (ID:32531) kafka-request FORWARDED (Kafka request produce correlation id 3 topic 'orders')",
      {
        ...SYN,
        verdict: Verdict.FORWARDED,
        isReply: false,
        l7: { type: 1, record: { case: "kafka", value: { topic: "orders" } } },
        Summary: "Kafka request produce correlation id 3 topic 'orders'",
      },
    ],
    [
      "default/a:33044 (ID:26450) -> default/b:8080 (ID:32531) dns-response proxy FORWARDED (TCP Flags: SYN)",
      {
        ...SYN,
        verdict: Verdict.FORWARDED,
        isReply: false,
        l7: { type: 2, record: { case: "dns", value: { observationSource: "proxy" } } },
      },
    ],
    [
      "default/a:33044 (ID:26450) -> default/b:8080 (ID:32531) to-endpoint FORWARDED (TCP Flags: SYN)",
      { ...SYN, verdict: Verdict.FORWARDED, isReply: false, eventType: { type: 4 } },
    ],
    [
      "default/a:33044 (ID:26450) -> default/b:8080 (ID:32531) policy-verdict:L3-L4 EGRESS ALLOWED (TCP Flags: SYN)",
      {
        ...SYN,
        verdict: Verdict.REDIRECTED,
        isReply: false,
        eventType: { type: 5 },
        policyMatchType: 2,
        trafficDirection: TrafficDirection.EGRESS,
      },
    ],
    [
      "[fd00::1]:33044 (unknown) -> default/web:8080 (kube-apiserver) UNKNOWN ERROR (TCP Flags: SYN)",
      {
        ...SYN,
        isReply: false,
        verdict: Verdict.ERROR,
        IP: { source: "fd00::1", destination: "fd00::2" },
        source: {},
        destination: { identity: 7 },
        destinationService: { name: "web", namespace: "default" },
      },
    ],
    [
      "0a:00:00:00:00:01 (ID:11) <> 0a:00:00:00:00:02 (unknown) 250 DROPPED ()",
      {
        verdict: Verdict.DROPPED,
        eventType: { type: 1, subType: 250 },
        ethernet: { source: "0a:00:00:00:00:01", destination: "0a:00:00:00:00:02" },
        source: { identity: 11 },
      },
    ],
    [
      "10.0.0.1 (unknown) <> 10.0.0.2 (unknown) l7-sample ERROR (a\\nb\\r^[[31m\\x07\\x9b)",
      {
        IP: IPS,
        verdict: Verdict.ERROR,
        l7: { type: 3 },
        Summary: "a\nb\r\u001b[31m\u0007\u009b",
      },
    ],
  ])("%s", (line, flow) => {
    expect(formatCompact(response(flow))).toBe(`Nov 24 04:05:42.123: ${line}`);
  });

  test("node and policy names on request", () => {
    const options = { node: true, policyNames: true };
    expect(formatCompact(response(DENIED), options)).toBe(
      "Nov 24 04:05:42.123 [default/node-1]: default/a:33044 (ID:26450) <> default/b:8080 " +
        "(ID:32531) policy-verdict:none INGRESS DENIED BY web (CiliumNetworkPolicy), " +
        "all (CiliumClusterwideNetworkPolicy) (TCP Flags: SYN)",
    );
  });

  /** `create` takes a field that is undefined as not set. */
  const NO_TIME = { time: undefined } as unknown as FlowInit;

  test("a day below ten is padded, and a flow without time says so", () => {
    const line = (flow: FlowInit): string =>
      formatCompact(response({ ...SYN, ...flow })).slice(0, 19);
    expect(line({ time: { seconds: 1_767_225_600n, nanos: 999_999 } })).toBe("Jan  1 00:00:00.000");
    expect(line(NO_TIME)).toBe("N/A: default/a:3304");
  });

  test("losses", () => {
    const lost = create(GetFlowsResponseSchema, {
      time: AT,
      responseTypes: {
        case: "lostEvents",
        value: { source: LostEventSource.HUBBLE_RING_BUFFER, numEventsLost: 7n },
      },
    });
    expect(formatCompact(lost)).toBe(
      "Nov 24 04:05:42.123 EVENTS LOST: HUBBLE_RING_BUFFER CPU(0) 7",
    );
    expect(formatDict(lost)).toContain("    SUMMARY: CPU(0) - 7");
  });

  test("node status has no line", () => {
    const status = { case: "nodeStatus" as const, value: { nodeNames: ["a"] } };
    expect(formatCompact(create(GetFlowsResponseSchema, { responseTypes: status }))).toBe("");
  });
});

test("formatDict()", () => {
  expect(formatDict(response(DENIED), { node: true })).toBe(
    [
      "  TIMESTAMP: Nov 24 04:05:42.123",
      "       NODE: default/node-1",
      "     SOURCE: default/a:33044",
      "DESTINATION: default/b:8080",
      "       TYPE: policy-verdict:none INGRESS",
      "    VERDICT: DENIED",
      "    SUMMARY: TCP Flags: SYN",
    ].join("\n"),
  );
});

describe("formatJson()", () => {
  test("has proto names, enum names and 64-bit numbers as text", () => {
    const flow = response({
      ...DENIED,
      isReply: false,
      l7: { type: 2, latencyNs: 4_700_000n },
      dropReasonDesc: 133,
      Type: 2,
    });
    expect(JSON.parse(formatJson(flow))).toEqual({
      flow: {
        time: "2026-11-24T04:05:42.123456789Z",
        verdict: "DROPPED",
        IP: IPS,
        l4: { TCP: { source_port: 33_044, destination_port: 8_080 } },
        source: { identity: 26_450, namespace: "default", pod_name: "a" },
        destination: { identity: 32_531, namespace: "default", pod_name: "b" },
        Type: "L7",
        node_name: "default/node-1",
        l7: { type: "RESPONSE", latency_ns: "4700000" },
        event_type: { type: 5 },
        traffic_direction: "INGRESS",
        drop_reason_desc: "POLICY_DENIED",
        is_reply: false,
        ingress_denied_by: [
          { name: "web", kind: "CiliumNetworkPolicy" },
          { name: "all", kind: "CiliumClusterwideNetworkPolicy" },
        ],
        Summary: "TCP Flags: SYN",
      },
      node_name: "default/node-1",
      time: "2026-11-24T04:05:42.123456789Z",
    });
  });

  test("is one line, and parseJson() reads it back", () => {
    const line = formatJson(response({ ...DENIED, Summary: "a\nb" }));
    expect(line).not.toContain("\n");
    expect(formatJson(parseJson(line))).toBe(line);
  });
});
