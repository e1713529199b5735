import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  FRAME,
  type OpenBody,
  RECORD_KIND,
  RECORD_VERDICT,
} from "../../runtime/contract/records.ts";
import { DecodeBudget } from "../event/decode-budget.ts";
import { RecordStream } from "../event/record-stream.ts";
import { frame, jsonFrame, OPEN_BODY, openFrame, recordBody } from "../event/testing/frames.ts";
import type { FlowFacts, RingEntry } from "./flow-facts.ts";
import { flowMessage } from "./flow-message.ts";
import { formatCompact } from "./format/compact.ts";
import { formatJson } from "./format/json.ts";
import { type Flow, LostEventSource, TrafficDirection, Verdict } from "./gen/flow/flow_pb.ts";
import { GetFlowsResponseSchema } from "./gen/observer/observer_pb.ts";
import { collectingBuilder, GETTERS, NODE, POLICY_WEB, TIME } from "./testing/fixture.ts";

const { INGRESS, EGRESS } = TrafficDirection;
const { AUDIT, FORWARDED, DROPPED, ERROR } = Verdict;

function message(entry: RingEntry | undefined): Flow {
  if (entry?.kind !== "flow") throw new Error("no flow");
  return flowMessage(entry, { node: NODE, uuidSalt: 1n, extension: "plugin-info" });
}

function compact(flow: Flow): string {
  const responseTypes = { case: "flow" as const, value: flow };
  return formatCompact(create(GetFlowsResponseSchema, { responseTypes })).slice(21);
}

const REQUEST = recordBody([
  [0, "GET"],
  [1, "/index?q=1"],
  [2, "web"],
  [3, "HTTP/1.1"],
  [4, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
]);
const RESPONSE = recordBody([
  [0, 200],
  [1, "HTTP/1.1"],
  [2, 42],
]);
const BOTH_STAGES: OpenBody["stages"] = [
  { point: "egress", endpoint: 1, ruleSet: 5, cookie: 0 },
  { point: "ingress", endpoint: 2, ruleSet: 6, cookie: 7 },
];

function records(
  open: Partial<OpenBody>,
  ...frames: { kind: number; verdict?: number; stage?: number; time?: bigint; body?: Buffer }[]
): FlowFacts[] {
  const { builder, entries } = collectingBuilder();
  const budget = new DecodeBudget({ nowMs: () => 0 });
  const stream = new RecordStream({ sink: builder, budget }, 0);
  const take = (bytes: Buffer): void => {
    expect(stream.frame(bytes, 0, bytes.length)).toBeUndefined();
  };
  take(openFrame(1, open));
  for (const { body, kind, time = TIME, ...header } of frames) {
    const fields = body ?? (kind === RECORD_KIND.request ? REQUEST : RESPONSE);
    take(frame({ type: FRAME.record, connection: 1, kind, time, ...header }, fields));
  }
  return entries.filter((entry) => entry.kind === "flow");
}

const asked = { kind: RECORD_KIND.request };
const answered = { kind: RECORD_KIND.response, time: TIME + 4_700_000n };
const denied = RECORD_VERDICT.denied;

describe("record()", () => {
  test("a request and its response", () => {
    const [request, response] = records({}, asked, answered).map(message);
    expect(request).toMatchObject({
      verdict: FORWARDED,
      isReply: false,
      trafficDirection: INGRESS,
      IP: { source: "10.0.0.1", destination: "10.0.0.2" },
      l7: { latencyNs: 0n, record: { case: "http" } },
      Summary: "HTTP/1.1 GET http://web/index?q=1",
      traceContext: { parent: { traceId: "0af7651916cd43dd8448eb211c80319c" } },
    });
    expect(request?.ingressAllowedBy).toMatchObject([{ name: POLICY_WEB.name, revision: 3n }]);
    expect(response).toMatchObject({
      isReply: true,
      trafficDirection: INGRESS,
      IP: { source: "10.0.0.2", destination: "10.0.0.1" },
      source: { podName: "b" },
      destination: { podName: "a" },
      l4: { protocol: { case: "TCP", value: { sourcePort: 8_080, destinationPort: 33_044 } } },
      l7: {
        latencyNs: 4_700_000n,
        record: {
          case: "http",
          value: {
            code: 200,
            method: "GET",
            url: "http://web/index?q=1",
            protocol: "HTTP/1.1",
            headers: [{ key: "content-length", value: "42" }],
          },
        },
      },
      Summary: "HTTP/1.1 200 4ms (GET http://web/index?q=1)",
    });
  });

  test.each<[string, Parameters<typeof records>[1][], [number, number, boolean][]]>([
    [
      "allowed by both",
      [asked],
      [
        [EGRESS, FORWARDED, false],
        [INGRESS, FORWARDED, false],
      ],
    ],
    ["denied by the first", [{ ...asked, verdict: denied }], [[EGRESS, DROPPED, false]]],
    [
      "denied by the second",
      [{ ...asked, verdict: denied, stage: 1 }],
      [
        [EGRESS, FORWARDED, false],
        [INGRESS, DROPPED, false],
      ],
    ],
    [
      "one that only mode audit lets pass",
      [{ ...asked, verdict: RECORD_VERDICT.audit, stage: 1 }],
      [
        [EGRESS, FORWARDED, false],
        [INGRESS, AUDIT, false],
      ],
    ],
    [
      "a stage that is not there counts as the last",
      [{ ...asked, verdict: denied, stage: 200 }],
      [
        [EGRESS, FORWARDED, false],
        [INGRESS, DROPPED, false],
      ],
    ],
    [
      "the response to a denied request comes from the stage that denied",
      [{ ...asked, verdict: denied }, answered],
      [
        [EGRESS, DROPPED, false],
        [EGRESS, FORWARDED, true],
      ],
    ],
    ["not the protocol", [{ ...asked, verdict: RECORD_VERDICT.error }], [[EGRESS, ERROR, false]]],
  ])("two stages, %s", (_name, frames, expected) => {
    const flows = records({ stages: BOTH_STAGES }, ...frames);
    expect(flows.map((flow) => [flow.direction, flow.verdict, flow.isReply])).toEqual(expected);
  });

  test("names the policies of each stage, by rule set where there is no cookie", () => {
    const [first, second] = records({ stages: BOTH_STAGES }, asked).map(message);
    expect(first?.egressAllowedBy.map(({ name }) => name)).toEqual(["by-rule-set"]);
    expect(second?.ingressAllowedBy.map(({ name }) => name)).toEqual(["web"]);
    const [drop] = records({}, { ...asked, verdict: denied }).map(message);
    expect(drop?.ingressDeniedBy.map(({ name }) => name)).toEqual(["web"]);
    expect(drop?.ingressAllowedBy).toEqual([]);
  });

  test("a response without its request says what it can", () => {
    const [flow] = records({}, answered).map(message);
    expect(flow?.Summary).toBe("HTTP/1.1 200 0ms ( )");
    expect(flow?.l7?.latencyNs).toBe(0n);
  });

  test("other protocols go into the extension and a generic summary", () => {
    const plugin = { name: "r2d2", version: "1.0.0", digest: "sha256:other" };
    const body = recordBody([
      [1, "x"],
      [0, 7],
    ]);
    const [flow] = records({ plugin }, { ...asked, body }).map(message);
    expect(flow?.Summary).toBe("r2d2 Fields: map[field0:7 field1:x]");
    expect(flow?.l7?.record.case).toBeUndefined();
    const responseTypes = { case: "flow" as const, value: flow as Flow };
    expect(
      JSON.parse(formatJson(create(GetFlowsResponseSchema, { responseTypes }))).flow.extensions,
    ).toEqual({
      "@type": "type.googleapis.com/imker.flow.v1.PluginInfo",
      ...plugin,
      fields: { field0: "7", field1: "x" },
    });
  });

  test.each([
    [
      [
        [1, "/a"],
        [2, "web"],
      ],
      "http://web/a",
    ],
    [
      [
        [1, "http://other/a"],
        [2, "web"],
      ],
      "http://other/a",
    ],
    [
      [
        [1, "*"],
        [2, "web"],
      ],
      "http://web/*",
    ],
    [[], ""],
  ] as const)("URL of %j is %j", (fields, url) => {
    const [flow] = records({}, { ...asked, body: recordBody(fields) });
    expect(flow?.message?.http?.url).toBe(url);
  });

  test("every flow has a time and a uuid of its own", () => {
    const flows = records({ stages: BOTH_STAGES }, ...Array(50).fill(asked)).map(message);
    expect(new Set(flows.map(({ time }) => `${time?.seconds}.${time?.nanos}`)).size).toBe(100);
    expect(new Set(flows.map(({ uuid }) => uuid)).size).toBe(100);
    expect(flows[0]?.uuid).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });
});

describe("what is not a record", () => {
  const fault = { plugin: OPEN_BODY.plugin, message: "out of fuel", connections: 3 };

  function entriesOf(...frames: Buffer[]): RingEntry[] {
    const { builder, entries } = collectingBuilder(GETTERS);
    const budget = new DecodeBudget({ nowMs: () => 0 });
    const stream = new RecordStream({ sink: builder, budget }, 0);
    for (const bytes of frames) stream.frame(bytes, 0, bytes.length);
    return entries;
  }

  test("a fault is an ERROR flow that names plugin and reason", () => {
    const entries = entriesOf(
      openFrame(1),
      jsonFrame({ type: FRAME.fault, connection: 1, time: TIME }, fault),
    );
    expect(compact(message(entries[0]))).toBe(
      "default/a:33044 (ID:26450) -> default/b:8080 (ID:32531) l7-sample ERROR " +
        "(Plugin l7-http 0.1.0 failed: out of fuel (3 connections closed))",
    );
    const [unknown] = entriesOf(jsonFrame({ type: FRAME.fault, time: TIME }, fault));
    expect(message(unknown).verdict).toBe(ERROR);
    expect(message(unknown).IP).toBeUndefined();
  });

  test.each([
    ["policy", [{ verdict: DROPPED }]],
    ["malformed", [{ verdict: ERROR }]],
    ["finished", []],
    ["reset", []],
  ])("a connection closed for %s", (reason, expected) => {
    const close = jsonFrame({ type: FRAME.close, connection: 1, time: TIME }, { reason });
    expect(entriesOf(openFrame(1), close)).toMatchObject(expected);
  });

  test("a malformed message is reported once", () => {
    const header = { type: FRAME.record, connection: 1, verdict: RECORD_VERDICT.error, time: TIME };
    const close = jsonFrame(
      { type: FRAME.close, connection: 1, time: TIME },
      { reason: "malformed" },
    );
    expect(entriesOf(openFrame(1), frame(header, REQUEST), close)).toHaveLength(1);
  });

  test("losses say where", () => {
    const { builder, entries } = collectingBuilder();
    builder.lostPackets(4);
    builder.lost(0, "worker", 5);
    expect(entries).toMatchObject([
      { kind: "loss", count: 4, source: LostEventSource.PERF_EVENT_RING_BUFFER },
      { kind: "loss", count: 5, source: LostEventSource.OBSERVER_EVENTS_QUEUE },
    ]);
  });

  test("a record whose connection has no facts is a loss", () => {
    const broken = frame({ type: FRAME.open, connection: 1 }, Buffer.from("{}"));
    const record = frame({ type: FRAME.record, connection: 1 }, REQUEST);
    expect(entriesOf(broken, record)).toMatchObject([{ kind: "loss", count: 1 }]);
  });
});
