/**
 * What the worker knows of one connection, and how it reads the facts the engine found at accept.
 * A connection passes up to two policies of local endpoints: leaving one (egress) and entering one
 * (ingress); each that has L7 rules is a stage the plugin enforces.
 */
import type { FailurePolicy, RuleMode } from "../contract/control.ts";
import type { OpenBody } from "../contract/records.ts";
import { FACTS } from "../engine/protocol.ts";
import type { InstanceFacts } from "../isolate/types.ts";
import type { PooledInstance } from "./instance-pool.ts";
import type { ConnectionRecording } from "./recording.ts";
import type { Tap } from "./tap.ts";
import type { TrialRun } from "./trial.ts";

/** As in the plugin contract and in the datapath's map keys turned round: see policy.ts. */
export const POINT = { egress: 0, ingress: 1 } as const;

/** One local endpoint's view of the connection; `ruleSet` 0: no L7 rules there. */
export interface PolicySide {
  point: number;
  /** 0: the end is not an endpoint of this node. */
  endpoint: number;
  ruleSet: number;
  cookie: number;
}

export interface ConnectionFacts {
  sourceIdentity: number;
  destinationIdentity: number;
  /** 16 bytes each; IPv4 is mapped. */
  sourceAddress: Uint8Array;
  destinationAddress: Uint8Array;
  sourcePort: number;
  destinationPort: number;
  /** Egress, then ingress. */
  sides: readonly [PolicySide, PolicySide];
}

export interface Connection {
  readonly slot: number;
  /** Unique in the worker's life; names the connection in records. */
  readonly serial: number;
  readonly facts: ConnectionFacts;
  /** For records; without version and digest when nothing can serve it. */
  plugin: OpenBody["plugin"];
  /** Now in force; replaced as a whole when policy changes. */
  sides: readonly [PolicySide, PolicySide];
  mode: RuleMode;
  failure: FailurePolicy;
  /** Decides what becomes of the bytes; undefined: everything passes. */
  pooled: PooledInstance | undefined;
  /** The serving plugin's handle. */
  handle: number;
  /** Sees the bytes, decides nothing. */
  tap: Tap | undefined;
  /** The trial whose version serves it. */
  canary: TrialRun | undefined;
  /** Bytes that the last call left unconsumed, by direction. */
  readonly left: [number, number];
  /** Requests reported as forwarded, less responses reported to such. */
  unanswered: number;
  /** Exchanges of requests reported as denied or as errors: a response to one answers no other. */
  refused: Set<number> | undefined;
  /** What is kept of it; undefined, as nearly always: nothing. */
  recording: ConnectionRecording | undefined;
  /** Its version is being replaced: to be closed at the next message boundary. */
  retiring: boolean;
}

/** The facts of an accept event at `offset` of the arena; addresses are copied. */
export function readFacts(arena: Uint8Array, offset: number): ConnectionFacts {
  const words = new DataView(arena.buffer, arena.byteOffset + offset, FACTS.bytes);
  const word = (at: number): number => words.getUint32(at, true);
  return {
    sourceAddress: arena.slice(offset + FACTS.source, offset + FACTS.source + 16),
    destinationAddress: arena.slice(offset + FACTS.destination, offset + FACTS.destination + 16),
    sourcePort: word(FACTS.sourcePort),
    destinationPort: word(FACTS.destinationPort),
    sourceIdentity: word(FACTS.sourceIdentity),
    destinationIdentity: word(FACTS.destinationIdentity),
    sides: [
      {
        point: POINT.egress,
        endpoint: word(FACTS.egressEndpoint),
        ruleSet: word(FACTS.egressRules),
        cookie: word(FACTS.egressCookie),
      },
      {
        point: POINT.ingress,
        endpoint: word(FACTS.ingressEndpoint),
        ruleSet: word(FACTS.ingressRules),
        cookie: word(FACTS.ingressCookie),
      },
    ],
  };
}

/** Sides that a plugin enforces, in the order of its stages. */
export function stageSides(sides: readonly [PolicySide, PolicySide]): PolicySide[] {
  return sides.filter((side) => side.ruleSet !== 0);
}

/** Facts as the plugin gets them; its stages name handles of the instance it runs in. */
export function instanceFacts(
  facts: ConnectionFacts,
  pooled: PooledInstance,
  sides: readonly [PolicySide, PolicySide] = facts.sides,
): InstanceFacts {
  return { ...facts, stages: pooled.stages(sides) };
}

/** The body of an `open` frame. */
export function openBody(connection: Connection): OpenBody {
  const { facts, plugin } = connection;
  return {
    source: printAddress(facts.sourceAddress),
    destination: printAddress(facts.destinationAddress),
    sourcePort: facts.sourcePort,
    destinationPort: facts.destinationPort,
    sourceIdentity: facts.sourceIdentity,
    destinationIdentity: facts.destinationIdentity,
    stages: stageSides(connection.sides).map(({ point, endpoint, ruleSet, cookie }) => ({
      point: point === POINT.egress ? "egress" : "ingress",
      endpoint,
      ruleSet,
      cookie,
    })),
    plugin,
  };
}

/** RFC 5952, or dotted for a mapped IPv4 address. */
export function printAddress(address: Uint8Array): string {
  const mapped = address.every((byte, i) => (i < 10 ? byte === 0 : i > 11 || byte === 0xff));
  if (mapped) return address.subarray(12).join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((address[i] ?? 0) << 8) | (address[i + 1] ?? 0));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (best.start < 0) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}
