/**
 * Random packets between a pod and everybody else, as the frames they are, and as each end's policy
 * is to see them.
 */
import fc from "fast-check";
import type { FrameSpec } from "../../datapath/testdata/frame.ts";
import type { Direction } from "../rule.ts";
import { PORTS } from "./generate-parts.ts";
import { type Hook, NEIGHBOUR, OWN } from "./kernel.ts";
import { HOST_ADDRESSES, type WorldPeer } from "./world.ts";

export interface Traffic {
  /** From the pod, to the pod, from the pod to its neighbour; or the node's own, out and in. */
  way: "out" | "in" | "beside" | "node-out" | "node-in";
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

export type Subject = "pod" | "neighbour" | "node";

/** One end's policy that is asked. */
export interface Side {
  direction: Direction;
  subject: Subject;
  peer: WorldPeer | Subject;
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
const HOST = 1;
const PIECE_BYTES = 1480;

export const traffic: fc.Arbitrary<Traffic> = fc.record({
  way: fc.constantFrom("out", "out", "in", "in", "beside", "node-out", "node-in"),
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
  const peer = peerFor(what, peers);
  const other = what.way === "beside" ? NEIGHBOUR : peer;
  const v6 = other.ipv4 === undefined || (what.v6 && other.ipv6 !== undefined);
  const self = what.way.startsWith("node") ? HOST_ADDRESSES : OWN;
  const [own, far] = v6 ? [self.ipv6, other.ipv6] : [self.ipv4, other.ipv4];
  const isOut = what.way !== "in" && what.way !== "node-in";
  const [source = "", destination = ""] = isOut ? [own, far] : [far, own];
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
  return {
    ...{ frame, protocol, ...routeOf(what, peer) },
    port: !isSeen ? undefined : isIcmp ? type : what.port,
  };
}

/** The node does not speak with itself over its interfaces. */
function peerFor({ way, peer: wanted }: Traffic, peers: readonly WorldPeer[]): WorldPeer {
  const able = way.startsWith("node") ? peers.filter(({ id }) => id !== HOST) : peers;
  const peer = able[wanted % able.length];
  if (peer === undefined) throw new Error("Cannot send: there is no peer");
  return peer;
}

/** What passes between a pod and the node is asked of both. */
function routeOf({ way }: Traffic, peer: WorldPeer): Pick<Sent, "hook" | "sides"> {
  const isHost = peer.id === HOST;
  switch (way) {
    case "out":
      return {
        hook: "from-pod",
        sides: [
          { direction: "egress", subject: "pod", peer },
          ...(isHost ? [{ direction: "ingress", subject: "node", peer: "pod" } as const] : []),
        ],
      };
    case "in":
      return {
        hook: isHost ? "from-host" : "from-network",
        sides: [
          ...(isHost ? [{ direction: "egress", subject: "node", peer: "pod" } as const] : []),
          { direction: "ingress", subject: "pod", peer },
        ],
      };
    case "beside":
      return {
        hook: "from-pod",
        sides: [
          { direction: "egress", subject: "pod", peer: "neighbour" },
          { direction: "ingress", subject: "neighbour", peer: "pod" },
        ],
      };
    case "node-out":
      return { hook: "node-out", sides: [{ direction: "egress", subject: "node", peer }] };
    case "node-in":
      return { hook: "from-network", sides: [{ direction: "ingress", subject: "node", peer }] };
    default:
      return way satisfies never;
  }
}
