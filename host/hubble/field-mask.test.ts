import { create, equals } from "@bufbuild/protobuf";
import { type FieldMask, FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { compileFieldMask } from "./field-mask.ts";
import { FlowSchema, IPVersion, Verdict } from "./gen/flow/flow_pb.ts";

const FLOW = create(FlowSchema, {
  verdict: Verdict.FORWARDED,
  IP: { source: "10.0.0.1", destination: "10.0.0.2", ipVersion: IPVersion.IPv4 },
  l4: {
    protocol: { case: "TCP", value: { sourcePort: 1, destinationPort: 2, flags: { SYN: true } } },
  },
  source: { ID: 1, identity: 2, labels: ["a", "b"], podName: "a" },
  isReply: false,
  nodeName: "n",
});

function mask(...paths: string[]): FieldMask {
  return create(FieldMaskSchema, { paths });
}

describe("compileFieldMask()", () => {
  test.each([
    [["verdict", "node_name"], { verdict: Verdict.FORWARDED, nodeName: "n" }],
    [["source.labels", "source.ID"], { source: { ID: 1, labels: ["a", "b"] } }],
    [["source", "source.ID"], { source: { ID: 1, identity: 2, labels: ["a", "b"], podName: "a" } }],
    [["IP.ipVersion"], { IP: { ipVersion: IPVersion.IPv4 } }],
    [
      ["l4.TCP.destination_port", "l4.UDP.source_port"],
      { l4: { protocol: { case: "TCP" as const, value: { destinationPort: 2 } } } },
    ],
    [["is_reply"], { isReply: false }],
    [["destination.identity", "l7.http"], {}],
  ])("%j", (paths, expected) => {
    const masked = compileFieldMask(mask(...paths))(FLOW);
    expect(equals(FlowSchema, masked, create(FlowSchema, expected))).toBe(true);
  });

  test("no mask and no paths are everything", () => {
    expect(compileFieldMask(undefined)(FLOW)).toBe(FLOW);
    expect(compileFieldMask(mask())(FLOW)).toBe(FLOW);
  });

  test.each(["nonsense", "source.nonsense", "verdict.x", "source.workloads.name", "", "nodeName"])(
    "%j is refused",
    (path) => {
      expect(() => compileFieldMask(mask(path))).toThrow("invalid fieldmask");
    },
  );
});
