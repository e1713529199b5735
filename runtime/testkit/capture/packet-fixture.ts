/** For tests: TCP packets and the capture files that hold them. */

export interface PacketText {
  /** From the side that opened the connection? */
  request: boolean;
  sequence: number;
  flags?: readonly ("fin" | "syn" | "rst" | "ack")[];
  text?: string;
  ipv6?: boolean;
}

const FLAGS = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;
const CLIENT_PORT = 40_000;
export const SERVER_PORT = 7000;

/** An Ethernet frame. */
export function frame(packet: PacketText): Uint8Array {
  const payload = Buffer.from(packet.text ?? "", "latin1");
  const tcp = Buffer.alloc(20);
  const [from, to] = packet.request ? [CLIENT_PORT, SERVER_PORT] : [SERVER_PORT, CLIENT_PORT];
  tcp.writeUInt16BE(from, 0);
  tcp.writeUInt16BE(to, 2);
  tcp.writeUInt32BE(packet.sequence >>> 0, 4);
  tcp.writeUInt8(5 << 4, 12);
  tcp.writeUInt8(
    (packet.flags ?? []).reduce((sum, flag) => sum | FLAGS[flag], 0),
    13,
  );
  const ip = packet.ipv6 ? ipv6(packet, 20 + payload.length) : ipv4(packet, 20 + payload.length);
  const ethernet = Buffer.alloc(14);
  ethernet.writeUInt16BE(packet.ipv6 ? 0x86dd : 0x0800, 12);
  // Ethernet pads short frames: what is behind the IP packet is none of it.
  return Buffer.concat([ethernet, ip, tcp, payload, Buffer.alloc(6)]);
}

function ipv4({ request }: PacketText, length: number): Buffer {
  const ip = Buffer.alloc(20);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(20 + length, 2);
  ip.writeUInt8(6, 9);
  ip.set(request ? [10, 0, 0, 1, 10, 0, 0, 2] : [10, 0, 0, 2, 10, 0, 0, 1], 12);
  return ip;
}

function ipv6({ request }: PacketText, length: number): Buffer {
  const ip = Buffer.alloc(48);
  ip.writeUInt8(0x60, 0);
  ip.writeUInt16BE(8 + length, 4);
  // A hop-by-hop header of eight bytes, then TCP.
  ip.writeUInt8(0, 6);
  ip.writeUInt8(6, 40);
  ip.writeUInt8(request ? 1 : 2, 23);
  ip.writeUInt8(request ? 2 : 1, 39);
  return ip;
}

/** A pcap file of Ethernet frames. */
export function pcap(frames: readonly Uint8Array[], little = true): Uint8Array {
  const u32 = (...values: number[]) => {
    const bytes = Buffer.alloc(values.length * 4);
    values.forEach((value, index) => {
      if (little) bytes.writeUInt32LE(value, index * 4);
      else bytes.writeUInt32BE(value, index * 4);
    });
    return bytes;
  };
  const packets = frames.flatMap((bytes) => [u32(0, 0, bytes.length, bytes.length), bytes]);
  return Buffer.concat([u32(0xa1b2c3d4, 0x00040002, 0, 0, 65_535, 1), ...packets]);
}

/** A pcapng file of Ethernet frames. */
export function pcapng(frames: readonly Uint8Array[]): Uint8Array {
  const block = (type: number, body: Buffer) => {
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(type, 0);
    head.writeUInt32LE(padded.length + 12, 4);
    const tail = Buffer.alloc(4);
    tail.writeUInt32LE(padded.length + 12, 0);
    return Buffer.concat([head, padded, tail]);
  };
  const section = Buffer.from("4d3c2b1a01000000ffffffffffffffff", "hex");
  const description = Buffer.from("0100000000000400", "hex");
  const packets = frames.map((bytes) => {
    const head = Buffer.alloc(20);
    head.writeUInt32LE(bytes.length, 12);
    head.writeUInt32LE(bytes.length, 16);
    return block(6, Buffer.concat([head, bytes]));
  });
  return Buffer.concat([block(0x0a0d0d0a, section), block(1, description), ...packets]);
}
