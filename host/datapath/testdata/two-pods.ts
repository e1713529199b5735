/**
 * Two pods on one node, for single frames: A behind the interface that frames run on, B beside it.
 * The numbers a verdict is made of, and what tests say about a run.
 */
import { LAYOUT } from "../layout.ts";
import { readRows } from "../maps.ts";
import type { DatapathEndpoint } from "../types.ts";
import { buildFrame, FLAG, type FrameSpec, PROTOCOL } from "./frame.ts";
import { ALLOW_ALL } from "./node-client.ts";
import { IFINDEX, ProgramBench, type Run } from "./program-bench.ts";

export const OK = 0;
export const SHOT = 2;
export const REDIRECT = 7;
export const DROP = 1;
export const TRACE = 4;
export const VERDICT = 5;
export const TO_PROXY_MARK = 0x200;
export const PROXY_MARK = 0xa00;
export const A = 1001;
export const B = 1002;
export const HOST = 1;
/** CT_FLAG_PROXIED and CT_FLAG_SEEN_REPLY. */
export const CT_PROXIED = 1 | 4;

export const endpointA: DatapathEndpoint = {
  id: 1,
  identity: A,
  ifname: "a",
  ifindex: IFINDEX,
  podMac: "02:00:00:00:00:aa",
  hostMac: "02:00:00:00:00:bb",
  ipv4: "10.0.0.1",
  ipv6: "fd00::1",
};
export const endpointB: DatapathEndpoint = {
  ...endpointA,
  id: 2,
  identity: B,
  ifname: "b",
  ifindex: 77,
  podMac: "02:00:00:00:00:cc",
  hostMac: "02:00:00:00:00:dd",
  ipv4: "10.0.0.2",
  ipv6: "fd00::2",
};

export const families = [
  { name: "IPv4", a: "10.0.0.1", b: "10.0.0.2", host: "10.0.9.1", world: "192.0.2.1", worldId: 9 },
  {
    name: "IPv6",
    a: "fd00::1",
    b: "fd00::2",
    host: "fd00:9::1",
    world: "2001:db8::1",
    worldId: 10,
  },
] as const;

/** Numbers of the family's ICMP. */
export function icmpOf(name: "IPv4" | "IPv6"): {
  icmp: number;
  echo: number;
  echoReply: number;
  unreachable: number;
} {
  return name === "IPv6"
    ? { icmp: PROTOCOL.icmpv6, echo: 128, echoReply: 129, unreachable: 1 }
    : { icmp: PROTOCOL.icmp, echo: 8, echoReply: 0, unreachable: 3 };
}

export class TwoPods {
  readonly bench = new ProgramBench();

  /** Both pods with policies that allow everything, no proxy, no connections. */
  reset(): void {
    this.bench.reset();
    this.bench.workers(0);
    this.bench.endpoint(endpointA, true);
    this.bench.endpoint(endpointB, false);
    for (const { host } of families) this.bench.ipcache(host, HOST);
    this.bench.policy(1, ALLOW_ALL);
    this.bench.policy(2, ALLOW_ALL);
  }

  /** Runs a frame of B as if it came from B's interface. */
  fromB(frame: Uint8Array): Run {
    this.bench.endpoint(endpointB, true);
    const run = this.bench.run("pod_egress", frame);
    this.bench.endpoint(endpointA, true);
    return run;
  }

  /** No connections. */
  forget(): void {
    const map = this.bench.map("ct");
    for (const { key } of readRows(this.bench.native, map)) this.bench.native.mapDelete(map, key);
  }

  /** Moves all connections into the past. */
  expire(): void {
    this.bench.editCt((view) => view.setBigUint64(LAYOUT.ct_value.expires_ns, 1n, true));
  }

  /** Moves what first fragments have left into the past. */
  expireFragments(): void {
    const map = this.bench.map("fragments");
    for (const { key, value } of readRows(this.bench.native, map)) {
      new DataView(value.buffer).setBigUint64(LAYOUT.fragment_value.expires_ns, 1n, true);
      this.bench.native.mapUpdate(map, key, value, 0);
    }
  }

  /** Datagrams whose first fragment is known. */
  fragments(): number {
    return readRows(this.bench.native, this.bench.map("fragments")).length;
  }

  /** Rule sets of source and destination in each row that waits for the proxy. */
  handedOver(): number[][] {
    const { egress_rules, ingress_rules } = LAYOUT.handoff;
    return readRows(this.bench.native, this.bench.map("handoff")).map(({ value }) => {
      const view = new DataView(value.buffer, value.byteOffset);
      return [view.getUint32(egress_rules, true), view.getUint32(ingress_rules, true)];
    });
  }

  setFlags(flags: number): void {
    this.bench.editCt((view) => view.setUint32(LAYOUT.ct_value.flags, flags, true));
  }
}

/** A's SYN to B port 80, but for `fields`. */
export function synOf(family: { a: string; b: string }, fields: Partial<FrameSpec>): Uint8Array {
  const { a: source, b: destination } = family;
  return buildFrame({ source, destination, sourcePort: 4000, destinationPort: 80, ...fields });
}

/** B's answer to it. */
export function replyOf(family: { a: string; b: string }, fields: Partial<FrameSpec>): Uint8Array {
  return buildFrame({
    source: family.b,
    destination: family.a,
    sourcePort: 80,
    destinationPort: 4000,
    flags: FLAG.syn | FLAG.ack,
    ...fields,
  });
}

/** Reasons of the drops told of. */
export const reasons = ({ events }: Run): number[] =>
  events.filter(({ type }) => type === DROP).map(({ subType }) => subType);

/** Direction, verdict, match type and cookie of the policy verdicts told of. */
export const verdicts = ({ events }: Run): (string | number)[][] =>
  events
    .filter(({ type }) => type === VERDICT)
    .map(({ direction, verdict, reason, cookie }) => [direction, verdict, reason, cookie]);
