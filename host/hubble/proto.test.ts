/** The protobuf API: numbers and names that clients of Hubble rely on. */
import type { DescEnum, DescMessage } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import * as flow from "./gen/flow/flow_pb.ts";
import * as observer from "./gen/observer/observer_pb.ts";
import { NodeStateSchema, NodeStatusEventSchema } from "./gen/relay/relay_pb.ts";

/**
 * The wire contract with Hubble's clients, as the API of 1.19 has it: name and tag of every field
 * that traffic depends on. A change here breaks clients.
 */
const MESSAGES: readonly (readonly [DescMessage, string])[] = [
  [
    flow.FlowSchema,
    "time1 verdict2 drop_reason3 ethernet4 IP5 l4=6 source8 destination9 Type10 node_name11 " +
      "source_names13 destination_names14 l7=15 reply16 event_type19 source_service20 " +
      "destination_service21 traffic_direction22 policy_match_type23 trace_observation_point24 " +
      "drop_reason_desc25 is_reply26 debug_capture_point27 interface28 proxy_port29 " +
      "trace_context30 sock_xlate_point31 socket_cookie32 cgroup_id33 uuid34 auth_type35 " +
      "trace_reason36 node_labels37 file38 tunnel39 ip_trace_id40 emitter41 " +
      "egress_allowed_by21001 ingress_allowed_by21002 egress_denied_by21004 " +
      "ingress_denied_by21005 policy_log21006 aggregate21007 Summary100000 extensions150000",
  ],
  [flow.IPSchema, "source1 destination2 ipVersion3 encrypted4 source_xlated5"],
  [flow.EndpointSchema, "ID1 identity2 namespace3 labels4 pod_name5 workloads6 cluster_name7"],
  [flow.Layer4Schema, "TCP1 UDP2 ICMPv4=3 ICMPv6=4 SCTP5 VRRP6 IGMP7"],
  [flow.TCPSchema, "source_port1 destination_port2 flags3"],
  [flow.TCPFlagsSchema, "FIN1 SYN2 RST3 PSH4 ACK5 URG6 ECE7 CWR8 NS9"],
  [flow.PolicySchema, "name1 namespace2 labels3 revision4 kind5"],
  [flow.Layer7Schema, "type1 latency_ns2 dns100 http101 kafka102"],
  [flow.HTTPSchema, "code1 method2 url3 protocol4 headers5"],
  [flow.DNSSchema, "query1 ips2 ttl3 cnames4 observation_source5 rcode6 qtypes7 rrtypes8"],
  [flow.KafkaSchema, "error_code1 api_version2 api_key3 correlation_id4 topic5"],
  [flow.LostEventSchema, "source1 num_events_lost2 cpu3 first4 last5"],
  [flow.CiliumEventTypeSchema, "type1 sub_type2"],
  [
    flow.FlowFilterSchema,
    "source_ip1 source_pod2 destination_ip3 destination_pod4 verdict5 event_type6 source_fqdn7 " +
      "destination_fqdn8 http_status_code9 source_label10 destination_label11 protocol12 " +
      "source_port13 destination_port14 reply15 source_service16 destination_service17 " +
      "dns_query18 source_identity19 destination_identity20 http_method21 http_path22 " +
      "tcp_flags23 node_name24 ip_version25 source_workload26 destination_workload27 trace_id28 " +
      "uuid29 traffic_direction30 http_url31 http_header32 drop_reason_desc33 " +
      "source_ip_xlated34 interface35 node_labels36 source_cluster_name37 " +
      "destination_cluster_name38 ip_trace_id39 encrypted40 experimental999",
  ],
  [
    observer.GetFlowsRequestSchema,
    "number1 follow3 blacklist5 whitelist6 since7 until8 first9 field_mask10 experimental999 " +
      "extensions150000",
  ],
  [observer.GetFlowsResponseSchema, "flow1 node_status2 lost_events3 node_name1000 time1001"],
  [
    observer.ServerStatusResponseSchema,
    "num_flows1 max_flows2 seen_flows3 uptime_ns4 num_connected_nodes5 num_unavailable_nodes6 " +
      "unavailable_nodes7 version8 flows_rate9",
  ],
  [NodeStatusEventSchema, "state_change1 node_names2 message3"],
];

const ENUMS: readonly (readonly [DescEnum, string])[] = [
  [
    flow.VerdictSchema,
    "VERDICT_UNKNOWN0 FORWARDED1 DROPPED2 ERROR3 AUDIT4 REDIRECTED5 TRACED6 TRANSLATED7",
  ],
  [flow.FlowTypeSchema, "UNKNOWN_TYPE0 L3_L4=1 L7=2 SOCK3"],
  [flow.L7FlowTypeSchema, "UNKNOWN_L7_TYPE0 REQUEST1 RESPONSE2 SAMPLE3"],
  [flow.TrafficDirectionSchema, "TRAFFIC_DIRECTION_UNKNOWN0 INGRESS1 EGRESS2"],
  [
    flow.LostEventSourceSchema,
    "UNKNOWN_LOST_EVENT_SOURCE0 PERF_EVENT_RING_BUFFER1 OBSERVER_EVENTS_QUEUE2 " +
      "HUBBLE_RING_BUFFER3",
  ],
  [NodeStateSchema, "UNKNOWN_NODE_STATE0 NODE_CONNECTED1 NODE_UNAVAILABLE2 NODE_GONE3 NODE_ERROR4"],
  [
    flow.TraceObservationPointSchema,
    "UNKNOWN_POINT0 TO_PROXY1 TO_HOST2 TO_STACK3 TO_OVERLAY4 FROM_ENDPOINT5 FROM_PROXY6 " +
      "FROM_HOST7 FROM_STACK8 FROM_OVERLAY9 FROM_NETWORK10 TO_NETWORK11 FROM_CRYPTO12 " +
      "TO_CRYPTO13 TO_ENDPOINT101",
  ],
];

/** `name12`, or `name=12` where the name ends in a digit. */
function tag({ name, number }: { name: string; number: number }): string {
  return /\d$/.test(name) ? `${name}=${number}` : `${name}${number}`;
}

function byNumber(a: { number: number }, b: { number: number }): number {
  return a.number - b.number;
}

describe("the generated API", () => {
  test.each(MESSAGES.map(([schema, tags]) => [schema.typeName, schema, tags] as const))(
    "%s has Hubble's tags",
    (_name, schema, tags) => {
      expect([...schema.fields].sort(byNumber).map(tag).join(" ")).toBe(tags);
    },
  );

  test.each(ENUMS.map(([schema, values]) => [schema.typeName, schema, values] as const))(
    "%s has Hubble's numbers",
    (_name, schema, values) => {
      expect([...schema.values].sort(byNumber).map(tag).join(" ")).toBe(values);
    },
  );

  test.each([
    [133, "POLICY_DENIED"],
    [155, "CT_MAP_INSERTION_FAILED"],
    [181, "POLICY_DENY"],
    [203, "DROP_EP_NOT_READY"],
    [220, undefined],
  ])("drop reason %i is %s", (number, name) => {
    expect(flow.DropReasonSchema.values.find((value) => value.number === number)?.name).toBe(name);
  });

  test("the observer service has Hubble's methods", () => {
    expect(observer.Observer.typeName).toBe("observer.Observer");
    expect(observer.Observer.methods.map(({ name, methodKind }) => [name, methodKind])).toEqual([
      ["GetFlows", "server_streaming"],
      ["GetAgentEvents", "server_streaming"],
      ["GetDebugEvents", "server_streaming"],
      ["GetNodes", "unary"],
      ["GetNamespaces", "unary"],
      ["ServerStatus", "unary"],
    ]);
  });
});
