/**
 * Random packets between a pod and everybody else, as the frames they are, and as each end's policy
 * is to see them.
 */
import fc from "fast-check";
import type { FrameSpec } from "../../datapath/testdata/frame.ts";
import type { Direction } from "../rule.ts";
import { type Hook, NEIGHBOUR, OWN } from "./kernel.ts";
import type { WorldPeer } from "./world.ts";

export interface Traffic {
  /** From the pod, to the pod, or from the pod to its neighbour on the node. */
  way: "out" | "in" | "beside";
  /** Which of the peers, modulo their number. */
  peer: number;
  /** IPv6, if the peer has both. */
  v6: boolean;
  protocol: number;
  port: number;
  /** ICMP's, of either family. */
  types: readonly [ipv4: number, ipv6: number];
  /** A piece of a datagram: the first, or a later one of which the first was not seen. */
  piece: "whole" | "first" | "later";
  /** TCP: opens a connection, or comes out of nowhere. */
  syn: boolean;
}

/** One end's policy that is asked. */
export interface Side {
  direction: Direction;
  /** 0: the pod, 1: its neighbour. */
  subject: 0 | 1;
  /** Undefined: the other of the two. */
  peer: WorldPeer | undefined;
}

export interface Sent {
  hook: Hook;
  frame: FrameSpec;
  /** In the order in which they are asked. */
  sides: readonly Side[];
  protocol: number;
  /** What a rule's port is compared with; ICMP: the type. */
  port: number | undefined;
}

const TCP = 6;
const ICMP = 1;
const ICMP6 = 58;
const SEEN_PORTS: readonly number[] = [TCP, 17, 132, ICMP, ICMP6];
const PIECE_BYTES = 1480;

export const PORTS = [
  ...[0, 1, 22, 79, 80, 85, 90, 91, 443, 1023, 1024, 7999, 8000, 8080, 9000, 9001, 65_535],
];

export const traffic: fc.Arbitrary<Traffic> = fc.record({
  way: fc.constantFrom("out", "out", "in", "in", "beside"),
  peer: fc.nat(1_000),
  v6: fc.boolean(),
  protocol: fc.constantFrom(TCP, TCP, TCP, TCP, 17, 17, 132, ICMP, ICMP, 2, 4, 41, 47, 50, 51, 112),
  port: fc.constantFrom(...PORTS),
  types: fc.constantFrom<Traffic["types"]>([0, 129], [8, 128], [8, 128], [13, 144], [200, 200]),
  piece: fc.constantFrom("whole", "whole", "whole", "whole", "whole", "first", "later"),
  syn: fc.constantFrom(true, true, true, true, true, false),
});

/** @param id Of the packet: different ones never belong to one connection. */
export function toSent(what: Traffic, peers: readonly WorldPeer[], id: number): Sent {
  const peer = peers[what.peer % peers.length];
  if (peer === undefined) throw new Error("Cannot send: there is no peer");
  const other = what.way === "beside" ? NEIGHBOUR : peer;
  const v6 = other.ipv4 === undefined || (what.v6 && other.ipv6 !== undefined);
  const [own, far] = v6 ? [OWN.ipv6, other.ipv6] : [OWN.ipv4, other.ipv4];
  const [source = "", destination = ""] = what.way === "in" ? [far, own] : [own, far];
  const protocol = what.protocol === ICMP && v6 ? ICMP6 : what.protocol;
  const isIcmp = protocol === ICMP || protocol === ICMP6;
  const type = what.types[v6 ? 1 : 0];
  const isSeen = SEEN_PORTS.includes(protocol) && what.piece !== "later";
  const piece = { offset: what.piece === "later" ? PIECE_BYTES : 0, more: true, id };
  const frame = {
    ...{ source, destination, protocol, type },
    ...{ sourcePort: 20_000 + (id % 40_000), destinationPort: what.port },
    ...{ flags: what.syn ? 2 : 16, payload: new Uint8Array(16) },
    ...(what.piece === "whole" ? {} : { fragment: piece }),
  };
  const isHost = what.way === "in" && peer.id === 1;
  return {
    hook: what.way !== "in" ? "from-pod" : isHost ? "from-host" : "from-network",
    ...{ frame, protocol, sides: sidesOf(what, peer) },
    port: !isSeen ? undefined : isIcmp ? type : what.port,
  };
}

function sidesOf({ way }: Traffic, peer: WorldPeer): Side[] {
  switch (way) {
    case "out":
      return [{ direction: "egress", subject: 0, peer }];
    case "in":
      return [{ direction: "ingress", subject: 0, peer }];
    case "beside":
      return [
        { direction: "egress", subject: 0, peer: undefined },
        { direction: "ingress", subject: 1, peer: undefined },
      ];
    default:
      return way satisfies never;
  }
}
