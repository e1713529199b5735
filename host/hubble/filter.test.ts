import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { FRAME, RECORD_KIND, RECORD_VERDICT } from "../../runtime/contract/records.ts";
import { DecodeBudget } from "../event/decode-budget.ts";
import { RecordStream } from "../event/record-stream.ts";
import { frame, openFrame, recordBody } from "../event/testing/frames.ts";
import { compileFilters } from "./filter.ts";
import type { FlowFacts } from "./flow-facts.ts";
import { flowUuid } from "./flow-uuid.ts";
import { FlowFilterSchema, TrafficDirection, Verdict } from "./gen/flow/flow_pb.ts";
import { HubbleError } from "./hubble-error.ts";
import { collectingBuilder, NODE, SYN, TIME } from "./testing/fixture.ts";

type FilterInit = MessageInitShape<typeof FlowFilterSchema>;
const CONTEXT = { node: NODE, uuidSalt: 1n, extension: "plugin-info" as const };

/** One flow of each kind the filters tell apart. */
function flows(): Record<
  "syn" | "drop" | "world" | "ping" | "v6" | "get" | "post" | "ok",
  FlowFacts
> {
  const { builder, entries } = collectingBuilder();
  const world = { ...SYN.tuple, destination: "192.0.2.1", destinationPort: 53, protocol: 17 };
  builder.packet(SYN);
  builder.packet({ ...SYN, type: 1, subType: 133, isReply: undefined });
  builder.packet({
    ...SYN,
    direction: "egress",
    endpoint: 1,
    subType: 3,
    destinationIdentity: 2,
    tuple: world,
  });
  builder.packet({
    ...SYN,
    tuple: { ...SYN.tuple, protocol: 1, sourcePort: 8 << 8, destinationPort: 0 },
  });
  builder.packet({ ...SYN, tuple: { ...SYN.tuple, source: "fd00::1", destination: "fd00::2" } });
  const stream = new RecordStream(
    { sink: builder, budget: new DecodeBudget({ nowMs: () => 0 }) },
    0,
  );
  const take = (bytes: Buffer): void => void stream.frame(bytes, 0, bytes.length);
  const record = { type: FRAME.record, connection: 1, time: TIME };
  const asked = (method: string, path: string): Buffer =>
    recordBody([
      [0, method],
      [1, path],
      [2, "web"],
      [3, "HTTP/1.1"],
      [4, `00-${"a".repeat(32)}-${"b".repeat(16)}-00`],
    ]);
  take(openFrame(1));
  take(frame({ ...record, exchange: 0 }, asked("GET", "/a%20b?q=/x")));
  take(frame({ ...record, exchange: 1, verdict: RECORD_VERDICT.denied }, asked("POST", "/x")));
  take(
    frame(
      { ...record, exchange: 0, kind: RECORD_KIND.response },
      recordBody([
        [0, 200],
        [1, "HTTP/1.1"],
        [2, 42],
      ]),
    ),
  );
  const [syn, drop, toWorld, ping, v6, get, post, ok] = entries.filter(
    (entry) => entry.kind === "flow",
  );
  if (!syn || !drop || !toWorld || !ping || !v6 || !get || !post || !ok) throw new Error("no flow");
  return { syn, drop, world: toWorld, ping, v6, get, post, ok };
}

const FLOWS = flows();

/** Names of the flows that the filter lets through. */
function matching(whitelist: FilterInit[], blacklist: FilterInit[] = []): string {
  const match = compileFilters(
    {
      whitelist: whitelist.map((filter) => create(FlowFilterSchema, filter)),
      blacklist: blacklist.map((filter) => create(FlowFilterSchema, filter)),
    },
    CONTEXT,
  );
  return Object.entries(FLOWS)
    .filter(([, flow]) => match(flow))
    .map(([name]) => name)
    .join(" ");
}

const ALL = "syn drop world ping v6 get post ok";

describe("compileFilters()", () => {
  test.each<[FilterInit, string]>([
    [{}, ALL],
    [{ sourceIp: ["10.0.0.1"] }, "syn drop world ping get post"],
    [{ sourceIp: ["10.0.0.2", "fd00::/64"] }, "v6 ok"],
    [{ destinationIp: ["192.0.2.0/24"] }, "world"],
    [{ destinationIp: ["0.0.0.0/0"] }, "syn drop world ping get post ok"],
    [{ sourcePod: ["a"] }, "syn drop world ping v6 get post"],
    [{ sourcePod: ["default/"] }, ALL],
    [{ sourcePod: ["/b"] }, "ok"],
    [{ sourcePod: ["other/a"] }, ""],
    [{ destinationPod: ["default/b"] }, "syn drop ping v6 get post"],
    [{ destinationFqdn: ["EXAMPLE.com."] }, "world"],
    [{ destinationFqdn: ["*.com"] }, "world"],
    [{ sourceFqdn: ["example.com"] }, ""],
    [{ sourceLabel: ["k8s:name=a,app in (web)"] }, "syn drop world ping v6 get post"],
    [{ destinationLabel: ["reserved:world"] }, "world"],
    [{ sourcePort: ["8080"] }, "ok"],
    [{ destinationPort: ["8080", "53"] }, "syn drop world v6 get post"],
    [{ sourceIdentity: [26_450] }, "syn drop world ping v6 get post"],
    [{ destinationIdentity: [2] }, "world"],
    [{ sourceWorkload: [{ name: "b", kind: "Deployment" }] }, "ok"],
    [{ sourceWorkload: [{ kind: "DaemonSet" }] }, ""],
    [{ destinationClusterName: ["default"] }, "syn drop ping v6 get post ok"],
    [{ verdict: [Verdict.DROPPED] }, "drop post"],
    [{ dropReasonDesc: [133] }, "drop"],
    [{ eventType: [{ type: 129 }] }, "get post ok"],
    [{ eventType: [{ type: 4, matchSubType: true, subType: 3 }] }, "world"],
    [{ eventType: [{ type: 4, subType: 3 }] }, "syn world ping v6"],
    [{ eventType: [{ matchSubType: true, subType: 133 }] }, "drop"],
    [{ trafficDirection: [TrafficDirection.EGRESS] }, "world"],
    [{ reply: [true] }, "ok"],
    [{ reply: [false] }, "syn drop world ping v6 get post"],
    [{ protocol: ["TCP"] }, "syn drop v6 get post ok"],
    [{ protocol: ["icmp", "udp"] }, "world ping"],
    [{ protocol: ["http"] }, "get post ok"],
    [{ protocol: ["dns", "kafka", "icmpv6", "sctp", "vrrp", "igmp"] }, ""],
    [{ ipVersion: [2] }, "v6"],
    [{ tcpFlags: [{ SYN: true }] }, "syn drop v6"],
    [{ tcpFlags: [{ SYN: true, ACK: true }, { FIN: true }, { NS: true }] }, ""],
    [{ interface: [{ index: 5 }] }, "syn drop world ping v6"],
    [{ interface: [{ name: "eth0" }] }, ""],
    [{ httpStatusCode: ["2+"] }, "ok"],
    [{ httpStatusCode: ["200", "404"] }, "ok"],
    [{ httpStatusCode: ["21+"] }, ""],
    [{ httpMethod: ["post"] }, "post"],
    [{ httpPath: ["^/a b$"] }, "get ok"],
    [{ httpPath: ["x"] }, "post"],
    [{ httpUrl: ["x$"] }, "get post ok"],
    [{ httpHeader: [{ key: "content-length", value: "42" }] }, "ok"],
    [{ httpHeader: [{ key: "content-length", value: "43" }] }, ""],
    [{ httpMethod: ["GET"], eventType: [{ type: 129 }] }, "get ok"],
    [{ traceId: ["a".repeat(32)] }, "get post ok"],
    [{ dnsQuery: [".*"] }, ""],
    [{ nodeName: ["node-*"] }, ALL],
    [{ nodeName: ["default/"] }, ALL],
    [{ nodeName: ["other/node-1"] }, ""],
    [{ nodeLabels: ["zone=a"] }, ALL],
    [{ nodeLabels: ["zone=b"] }, ""],
    [{ uuid: [flowUuid(FLOWS.ping.time, CONTEXT.uuidSalt)] }, "ping"],
    [{ encrypted: [false] }, ALL],
    [{ encrypted: [true] }, ""],
    [{ sourceIpXlated: ["10.0.0.1"] }, ""],
    [{ verdict: [Verdict.DROPPED], protocol: ["http"] }, "post"],
  ])("%j lets through %j", (filter, expected) => {
    expect(matching([filter])).toBe(expected);
  });

  test("lists: any of the whitelist, none of the blacklist", () => {
    expect(matching([{ protocol: ["udp"] }, { protocol: ["icmp"] }])).toBe("world ping");
    expect(matching([], [{ protocol: ["tcp"] }, { protocol: ["icmp"] }])).toBe("world");
    expect(matching([{ protocol: ["tcp"] }], [{ verdict: [Verdict.DROPPED] }])).toBe(
      "syn v6 get ok",
    );
  });

  test.each<[FilterInit, string]>([
    [{ sourceIp: ["10.0.0"] }, "no address"],
    [{ sourceIp: ["10.0.0.0/33"] }, "no prefix"],
    [{ sourcePod: [""] }, "a name is empty"],
    [{ sourceFqdn: ["exa mple"] }, "no name pattern"],
    [{ sourceLabel: ["a in ("] }, "no selector"],
    [{ destinationPort: ["http"] }, "no port"],
    [{ destinationPort: ["65536"] }, "no port"],
    [{ protocol: ["constructor"] }, "no protocol"],
    [{ httpStatusCode: ["6+"] }, "no status"],
    [{ httpPath: ["("] }, "http_path"],
    [{ dnsQuery: ["(?=a)"] }, "dns_query"],
    [{ nodeName: ["a/b/c"] }, "no node"],
    [{ httpMethod: ["GET"], eventType: [{ type: 4 }] }, "l7 events"],
    [{ sourceClusterName: [""] }, "a name is empty"],
    [{ experimental: { celExpression: ["true"] } }, "not supported"],
  ])("%j is refused", (filter, message) => {
    expect(() => matching([filter])).toThrow(HubbleError);
    expect(() => matching([filter])).toThrow(message);
  });

  test("a filter of a newer client that we do not know is refused, not ignored", () => {
    const filter = create(FlowFilterSchema, { protocol: ["tcp"] });
    filter.$unknown = [{ no: 41, wireType: 2, data: new Uint8Array([1, 0]) }];
    expect(() => compileFilters({ whitelist: [filter], blacklist: [] }, CONTEXT)).toThrow(
      "field 41",
    );
  });

  test("a pattern that backtracks elsewhere takes no time", () => {
    const started = performance.now();
    expect(matching([{ httpUrl: ["(a+)+$", "^(([a-z/:%0-9])+.)+[A-Z]([a-z])+$"] }])).toBe("");
    expect(performance.now() - started).toBeLessThan(500);
  });
});
