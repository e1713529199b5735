/**
 * L7 records as flows: one for each policy stage the message reached. The record stays undecoded
 * until somebody reads the flow; what is needed earlier (verdict, ends, direction) is not in it.
 */
import { RECORD_KIND, RECORD_VERDICT } from "../../runtime/contract/records.ts";
import type { L7Record, ProxyFault } from "../event/types.ts";
import type { PolicyOrigin } from "../policy/types.ts";
import {
  EVENT_TYPE,
  type FlowEnds,
  type FlowFacts,
  type MessageFacts,
  type PluginFacts,
} from "./flow-facts.ts";
import { L7FlowType, TrafficDirection, Verdict } from "./gen/flow/flow_pb.ts";
import type { PluginRecords, RecordMeaning } from "./getters.ts";
import { httpFacts, type NamedFields, namedFields, traceIdOf } from "./record-facts.ts";
import { genericSummary, httpSummary, templateSummary } from "./summary.ts";

/** In place of a value that the manifest declares sensitive. */
const MASK = "***";

/** What all flows of a connection share; made once for each connection. */
export interface JoinedConnection {
  readonly requestEnds: FlowEnds;
  readonly responseEnds: FlowEnds;
  readonly stages: readonly JoinedStage[];
  readonly plugin: PluginRecords | undefined;
  readonly pluginFacts: PluginFacts;
}

export interface JoinedStage {
  readonly direction: TrafficDirection;
  readonly origins: readonly PolicyOrigin[];
}

const NO_ORIGINS: readonly PolicyOrigin[] = [];

/** Fields every L7 flow has alike. */
abstract class L7Flow {
  readonly kind = "flow";
  readonly eventType = EVENT_TYPE.l7;
  readonly eventSubType = 0;
  readonly dropReason = 0;
  readonly policyMatchType = 0;
  readonly packet = undefined;
}

/** One message at one stage. */
export class MessageFlow extends L7Flow implements FlowFacts {
  readonly time: bigint;
  readonly verdict: Verdict;
  readonly #record: L7Record;
  readonly #connection: JoinedConnection;
  readonly #stage: JoinedStage;

  constructor(
    record: L7Record,
    at: { connection: JoinedConnection; stage: JoinedStage; time: bigint; verdict: Verdict },
  ) {
    super();
    this.time = at.time;
    this.verdict = at.verdict;
    this.#record = record;
    this.#connection = at.connection;
    this.#stage = at.stage;
  }

  get isReply(): boolean {
    return this.#record.kind === RECORD_KIND.response;
  }

  get ends(): FlowEnds {
    return this.isReply ? this.#connection.responseEnds : this.#connection.requestEnds;
  }

  get direction(): TrafficDirection {
    return this.#stage.direction;
  }

  get allowedBy(): readonly PolicyOrigin[] {
    return this.verdict === Verdict.FORWARDED ? this.#stage.origins : NO_ORIGINS;
  }

  get deniedBy(): readonly PolicyOrigin[] {
    const denied = this.verdict === Verdict.DROPPED || this.verdict === Verdict.AUDIT;
    return denied ? this.#stage.origins : NO_ORIGINS;
  }

  get message(): MessageFacts {
    const { plugin, pluginFacts } = this.#connection;
    const { request } = this.#record;
    const fields = namedFields(plugin, this.#record);
    const asked = request === undefined ? undefined : namedFields(plugin, request);
    const isHttp = plugin?.flow === "http";
    return {
      type: this.isReply ? L7FlowType.RESPONSE : L7FlowType.REQUEST,
      latencyNs: latencyOf(this.#record),
      http: isHttp ? httpFacts(fields, this.isReply ? (asked ?? new Map()) : undefined) : undefined,
      traceId: traceIdOf(asked ?? fields),
      plugin: isHttp ? pluginFacts : { ...pluginFacts, fields: masked(fields, this.#meaning) },
    };
  }

  get summary(): string {
    const { http, latencyNs, plugin } = this.message;
    if (http !== undefined) return httpSummary(http, latencyNs, this.isReply);
    const template = this.#meaning?.summary;
    if (template === undefined) return genericSummary(plugin.name, plugin.fields);
    return templateSummary(plugin.name, template, plugin.fields);
  }

  get #meaning(): RecordMeaning | undefined {
    return this.#connection.plugin?.records[this.isReply ? "response" : "request"];
  }
}

/** Values that the manifest declares sensitive are not kept. */
function masked(fields: NamedFields, meaning: RecordMeaning | undefined): Record<string, string> {
  const sensitive = new Set(meaning?.sensitive);
  return Object.fromEntries(
    [...fields].map(([name, value]) => [name, sensitive.has(name) ? MASK : value]),
  );
}

/** A connection that ended for another reason than its own, or a plugin that failed. */
export class FailureFlow extends L7Flow implements FlowFacts {
  readonly time: bigint;
  readonly verdict: Verdict;
  readonly ends: FlowEnds | undefined;
  readonly direction: TrafficDirection;
  readonly isReply = false;
  readonly allowedBy = NO_ORIGINS;
  readonly deniedBy: readonly PolicyOrigin[];
  readonly message: MessageFacts;
  readonly summary: string;

  constructor(failure: {
    time: bigint;
    verdict: Verdict;
    connection: JoinedConnection | undefined;
    plugin: PluginFacts;
    summary: string;
  }) {
    super();
    const stage = failure.connection?.stages[0];
    this.time = failure.time;
    this.verdict = failure.verdict;
    this.ends = failure.connection?.requestEnds;
    this.direction = stage?.direction ?? TrafficDirection.TRAFFIC_DIRECTION_UNKNOWN;
    this.deniedBy =
      failure.verdict === Verdict.DROPPED ? (stage?.origins ?? NO_ORIGINS) : NO_ORIGINS;
    this.message = {
      type: L7FlowType.SAMPLE,
      latencyNs: 0n,
      http: undefined,
      traceId: "",
      plugin: failure.plugin,
    };
    this.summary = failure.summary;
  }
}

/** Naming plugin and reason. */
export function faultSummary(fault: ProxyFault): string {
  const { plugin, message, connections } = fault;
  return `Plugin ${plugin.name} ${plugin.version} failed: ${message} (${connections} connections closed)`;
}

/**
 * The verdicts of a record at the stages it reached, in their order: a stage that denied (in mode
 * audit: would have) is the last one, and the response to a denied request comes from the stage
 * that denied it. A message that could not be parsed has no verdict of a stage: one ERROR.
 */
export function stageVerdicts(record: L7Record, stages: number): Verdict[] {
  if (record.verdict === RECORD_VERDICT.error) return [Verdict.ERROR];
  const audit = record.verdict === RECORD_VERDICT.audit;
  const denied = audit || record.verdict === RECORD_VERDICT.denied;
  const { request } = record;
  let last = stages - 1;
  if (denied) last = Math.min(last, record.stage);
  if (request?.verdict === RECORD_VERDICT.denied) last = Math.min(last, request.stage);
  const verdicts: Verdict[] = [];
  for (let stage = 0; stage <= last; stage++) {
    if (!denied || stage < last) verdicts.push(Verdict.FORWARDED);
    else verdicts.push(audit ? Verdict.AUDIT : Verdict.DROPPED);
  }
  return verdicts;
}

function latencyOf(record: L7Record): bigint {
  if (record.request === undefined) return 0n;
  const latency = record.time - record.request.time;
  return latency > 0n ? latency : 0n;
}
