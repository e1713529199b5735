/** Which flows are decisions about a new connection, and whose. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, it, test } from "vitest";
import { FlowSchema, TrafficDirection } from "../hubble/gen/flow/flow_pb.ts";
import { seenFlow } from "./seen-flow.ts";

const TCP = { case: "TCP", value: { sourcePort: 40_000, destinationPort: 80 } } as const;
const BASE = {
  time: timestampFromMs(1_500),
  eventType: { type: 5 },
  trafficDirection: TrafficDirection.INGRESS,
  IP: { source: "10.0.0.1", destination: "10.0.0.2" },
  l4: { protocol: TCP },
  source: { ID: 3, identity: 257, namespace: "shop", podName: "front", labels: ["k8s:app=front"] },
  destination: { ID: 4, identity: 256, namespace: "shop", podName: "web" },
};

it("an ingress decision is the destination's, an egress one the source's", () => {
  expect(seenFlow(create(FlowSchema, BASE))).toEqual({
    ...{ direction: "ingress", endpoint: 4, peer: 257, peerAddress: "10.0.0.1" },
    ...{ source: "shop/front", destination: "shop/web", protocol: 6, port: 80, timeMs: 1_500 },
  });
  const egress = { ...BASE, trafficDirection: TrafficDirection.EGRESS };
  expect(seenFlow(create(FlowSchema, egress))).toMatchObject({
    ...{ direction: "egress", endpoint: 3, peer: 256, peerAddress: "10.0.0.2" },
  });
});

test.each([
  ["UDP", { destinationPort: 53 }, 17, 53],
  ["SCTP", { destinationPort: 7 }, 132, 7],
  ["ICMPv4", { type: 8, code: 0 }, 1, 8 << 8],
  ["ICMPv6", { type: 128, code: 0 }, 58, 128 << 8],
] as const)("%s", (name, value, protocol, port) => {
  const l4 = { protocol: { case: name, value } as never };
  expect(seenFlow(create(FlowSchema, { ...BASE, l4 }))).toMatchObject({ protocol, port });
});

it("an end without a pod has its reserved identity's name or its address", () => {
  const source = { ID: 0, identity: 9, labels: ["reserved:world-ipv4"] };
  expect(seenFlow(create(FlowSchema, { ...BASE, source }))?.source).toBe(
    "10.0.0.1 (reserved:world-ipv4)",
  );
  const unknown = { ID: 0, identity: 0 };
  expect(seenFlow(create(FlowSchema, { ...BASE, source: unknown }))?.source).toBe("10.0.0.1");
});

test.each([
  ["a trace", { eventType: { type: 4 } }],
  ["a drop, which has a decision of its own", { eventType: { type: 1 } }],
  ["one without a direction", { trafficDirection: TrafficDirection.TRAFFIC_DIRECTION_UNKNOWN }],
  ["one of an endpoint that is not here", { destination: { ID: 0, identity: 9 } }],
])("%s is none", (_name, more) => {
  expect(seenFlow(create(FlowSchema, { ...BASE, ...more }))).toBeUndefined();
});
