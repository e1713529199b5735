/**
 * Capture files, as tcpdump and Wireshark write them: pcap (both byte orders, micro- and
 * nanoseconds) and pcapng. Gives the packets with their link type; whatever is cut or makes no
 * sense ends the reading with an error that names the offset.
 */

/** Of a whole file. */
export const CAPTURE_BYTES_MAX = 1 << 30;

export class CaptureError extends Error {
  override readonly name = "CaptureError";
}

export interface CapturedPacket {
  /** LINKTYPE_… of pcap: 1 Ethernet, 101 raw IP, 0 loopback, 113 and 276 Linux cooked. */
  link: number;
  bytes: Uint8Array;
}

const PCAP_MAGIC = [0xa1b2c3d4, 0xa1b23c4d];
const PCAPNG_MAGIC = 0x0a0d0d0a;
const BYTE_ORDER = 0x1a2b3c4d;

/** All packets of a file. */
export function* readCapture(file: Uint8Array): Generator<CapturedPacket> {
  if (file.length > CAPTURE_BYTES_MAX) throw wrong(0, "longer than 1 GiB");
  if (file.length < 24) throw wrong(0, "neither pcap nor pcapng");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(0) === PCAPNG_MAGIC) yield* readPcapng(file, view);
  else if (PCAP_MAGIC.includes(view.getUint32(0))) yield* readPcap(file, view, false);
  else if (PCAP_MAGIC.includes(view.getUint32(0, true))) yield* readPcap(file, view, true);
  else throw wrong(0, "neither pcap nor pcapng");
}

function* readPcap(file: Uint8Array, view: DataView, little: boolean): Generator<CapturedPacket> {
  const link = view.getUint32(20, little) & 0xffff;
  let at = 24;
  while (at < file.length) {
    if (at + 16 > file.length) throw wrong(at, "a packet's header is cut");
    const length = view.getUint32(at + 8, little);
    if (at + 16 + length > file.length) throw wrong(at, "a packet is cut");
    yield { link, bytes: file.subarray(at + 16, at + 16 + length) };
    at += 16 + length;
  }
}

function* readPcapng(file: Uint8Array, view: DataView): Generator<CapturedPacket> {
  let little = true;
  let links: number[] = [];
  let at = 0;
  while (at < file.length) {
    if (at + 12 > file.length) throw wrong(at, "a block is cut");
    if (view.getUint32(at) === PCAPNG_MAGIC) {
      little = view.getUint32(at + 8, true) === BYTE_ORDER;
      links = [];
    }
    const type = view.getUint32(at, little);
    const length = view.getUint32(at + 4, little);
    if (length < 12 || length % 4 !== 0 || at + length > file.length) {
      throw wrong(at, "a block is longer than the file");
    }
    if (type === 1 && length >= 20) links.push(view.getUint16(at + 8, little));
    if (type === 6 && length >= 32) {
      const link = links[view.getUint32(at + 8, little)];
      const size = view.getUint32(at + 20, little);
      if (link === undefined || size > length - 32) throw wrong(at, "a packet is not whole");
      yield { link, bytes: file.subarray(at + 28, at + 28 + size) };
    }
    at += length;
  }
}

function wrong(offset: number, what: string): CaptureError {
  return new CaptureError(`Cannot read the capture at byte ${offset}: ${what}`);
}
