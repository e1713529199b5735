/**
 * Turns what the datapath and the proxy report into flows and losses, in the order they come, and
 * hands them on (to the ring). Owns the distinct times and what is joined once for a connection;
 * mapping is packet-flow.ts and message-flow.ts, names come from the getters.
 */
import type { CloseBody } from "../../runtime/contract/records.ts";
import type { DatapathEvent } from "../datapath/types.ts";
import type {
  L7Record,
  LossCause,
  ProxyConnection,
  ProxyFault,
  RecordSink,
} from "../event/types.ts";
import { FlowClock } from "./flow-clock.ts";
import { type PluginFacts, PROTOCOL, type RingEntry } from "./flow-facts.ts";
import { joinEnds, reverseEnds } from "./flow-join.ts";
import { LostEventSource, TrafficDirection, Verdict } from "./gen/flow/flow_pb.ts";
import type { FlowGetters } from "./getters.ts";
import {
  FailureFlow,
  faultSummary,
  type JoinedConnection,
  type JoinedStage,
  MessageFlow,
  stageVerdicts,
} from "./message-flow.ts";
import { packetFlow } from "./packet-flow.ts";

/** Source of the datapath in the flow clock; a worker's is its number plus one. */
const DATAPATH_SOURCE = 0;
/** A connection in front of no policy: its flows are shown without a direction. */
const NO_STAGE: JoinedStage = {
  direction: TrafficDirection.TRAFFIC_DIRECTION_UNKNOWN,
  origins: [],
};

export interface FlowBuilderDeps {
  getters: FlowGetters;
  /** Nanoseconds since 1970, for losses. */
  nowNs: () => bigint;
  /** Takes each flow or loss; never waits. */
  deliver: (entry: RingEntry) => void;
}

export class FlowBuilder implements RecordSink {
  readonly #getters: FlowGetters;
  readonly #nowNs: () => bigint;
  readonly #deliver: (entry: RingEntry) => void;
  readonly #clock = new FlowClock();
  /** Undefined: its `open` frame was unusable. Entries go with their connections. */
  readonly #joined = new WeakMap<ProxyConnection, JoinedConnection | undefined>();

  constructor(deps: FlowBuilderDeps) {
    this.#getters = deps.getters;
    this.#nowNs = deps.nowNs;
    this.#deliver = deps.deliver;
  }

  /** A datapath event; types that make no flow are ignored. */
  packet(event: DatapathEvent): void {
    const time = this.#clock.distinct(event.time, DATAPATH_SOURCE);
    const flow = packetFlow(this.#getters, event, time);
    if (flow !== undefined) this.#deliver(flow);
  }

  /** Events the kernel could not hand over. */
  lostPackets(count: number): void {
    this.#loss(LostEventSource.PERF_EVENT_RING_BUFFER, DATAPATH_SOURCE, count);
  }

  record(record: L7Record): void {
    const connection = this.#join(record.connection);
    if (connection === undefined) {
      this.lost(record.connection.worker, "orphan", 1);
      return;
    }
    const verdicts = stageVerdicts(record, connection.stages.length);
    for (const [index, verdict] of verdicts.entries()) {
      const time = this.#clock.distinct(record.time, record.connection.worker + 1);
      const stage = connection.stages[index] ?? NO_STAGE;
      if (verdict === Verdict.DROPPED || verdict === Verdict.ERROR) {
        record.connection.shownAt = time;
      }
      this.#deliver(new MessageFlow(record, { connection, stage, time, verdict }));
    }
  }

  /** Ends that no record tells of: policy took the connection back, or it was not the protocol. */
  closed(connection: ProxyConnection, reason: CloseBody["reason"], time: bigint): void {
    if (reason === "policy") {
      this.#failure(connection, time, {
        verdict: Verdict.DROPPED,
        summary: "Connection closed: policy does not allow it any more",
      });
    } else if (reason === "malformed" && !connection.errorReported) {
      connection.shownAt = this.#failure(connection, time, {
        verdict: Verdict.ERROR,
        summary: `Connection closed: not the protocol of plugin ${connection.open?.plugin.name}`,
      });
    } else if (reason === "no_plugin") {
      this.#failure(connection, time, {
        verdict: Verdict.DROPPED,
        summary: `Connection refused: no version of plugin ${connection.open?.plugin.name} can serve`,
      });
    } else if (reason === "retired") {
      const { name, version } = connection.open?.plugin ?? {};
      this.#failure(connection, time, {
        verdict: Verdict.TRACED,
        summary: `Connection closed: version ${version} of plugin ${name} is retired`,
      });
    }
  }

  fault(fault: ProxyFault): void {
    const { connection, plugin, message } = fault;
    const time = this.#clock.distinct(fault.time, fault.worker + 1);
    if (connection !== undefined) connection.shownAt = time;
    this.#deliver(
      new FailureFlow({
        time,
        verdict: Verdict.ERROR,
        connection: connection === undefined ? undefined : this.#join(connection),
        plugin: { ...plugin, fields: {}, fault: message },
        summary: faultSummary(fault),
      }),
    );
  }

  /** Lines of plugins are no flows, nor is what is kept of connections. */
  log(): void {}
  recorded(): void {}

  lost(worker: number, _cause: LossCause, count: number): void {
    this.#loss(LostEventSource.OBSERVER_EVENTS_QUEUE, worker + 1, count);
  }

  #loss(source: LostEventSource, lane: number, count: number): void {
    const time = this.#clock.distinct(this.#nowNs(), lane);
    this.#deliver({ kind: "loss", time, source, count });
  }

  /** The flow's own time. */
  #failure(
    connection: ProxyConnection,
    time: bigint,
    what: { verdict: Verdict; summary: string },
  ): bigint | undefined {
    const joined = this.#join(connection);
    if (joined === undefined) return undefined;
    const distinct = this.#clock.distinct(time, connection.worker + 1);
    this.#deliver(
      new FailureFlow({
        time: distinct,
        connection: joined,
        plugin: joined.pluginFacts,
        ...what,
      }),
    );
    return distinct;
  }

  #join(connection: ProxyConnection): JoinedConnection | undefined {
    const known = this.#joined.get(connection);
    if (known !== undefined || this.#joined.has(connection)) return known;
    const joined = joinConnection(this.#getters, connection);
    this.#joined.set(connection, joined);
    return joined;
  }
}

function joinConnection(
  getters: FlowGetters,
  connection: ProxyConnection,
): JoinedConnection | undefined {
  const { open } = connection;
  if (open === undefined) return undefined;
  const requestEnds = joinEnds(
    getters,
    {
      source: open.source,
      destination: open.destination,
      sourcePort: open.sourcePort,
      destinationPort: open.destinationPort,
      protocol: PROTOCOL.tcp,
    },
    { source: open.sourceIdentity, destination: open.destinationIdentity },
  );
  const stages = open.stages.map(({ point, endpoint, ruleSet, cookie }) => ({
    direction: point === "egress" ? TrafficDirection.EGRESS : TrafficDirection.INGRESS,
    origins:
      cookie === 0 ? getters.originsByRuleSet(ruleSet, endpoint) : getters.originsByCookie(cookie),
  }));
  const pluginFacts: PluginFacts = { ...open.plugin, fields: {}, fault: "" };
  return {
    requestEnds,
    responseEnds: reverseEnds(requestEnds),
    stages: stages.length === 0 ? [NO_STAGE] : stages,
    plugin: getters.pluginRecords(open.plugin.digest),
    pluginFacts,
  };
}
