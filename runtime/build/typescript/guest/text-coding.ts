/**
 * `TextEncoder` and `TextDecoder` for QuickJS, which has neither: UTF-8 as the WHATWG Encoding
 * Standard decodes it, replacement characters and all, so that the same bytes are the same text
 * natively and sandboxed.
 */

const ASCII = /^[\0-\x7f]*$/;
/** Arguments of one `String.fromCharCode`. */
const CHUNK_BYTES_MAX = 4096;
const REPLACEMENT = 0xfffd;

class Utf8Encoder {
  readonly encoding = "utf-8";

  encode(text = ""): Uint8Array {
    if (ASCII.test(text)) {
      const bytes = new Uint8Array(text.length);
      for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
      return bytes;
    }
    const list: number[] = [];
    for (const character of text) {
      const point = character.codePointAt(0) ?? 0;
      pushUtf8(list, point >= 0xd800 && point <= 0xdfff ? REPLACEMENT : point);
    }
    return Uint8Array.from(list);
  }
}

function pushUtf8(list: number[], point: number): void {
  if (point < 0x80) list.push(point);
  else if (point < 0x800) list.push(0xc0 | (point >> 6), 0x80 | (point & 63));
  else if (point < 0x10000) {
    list.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
  } else {
    list.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63));
    list.push(0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
  }
}

class Utf8Decoder {
  readonly encoding = "utf-8";
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;

  constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    if (!/^\s*utf-?8\s*$/i.test(label)) {
      throw new RangeError(`Cannot decode ${label}: only UTF-8 is there`);
    }
    this.fatal = options.fatal ?? false;
    this.ignoreBOM = options.ignoreBOM ?? false;
  }

  decode(input?: Uint8Array | ArrayBuffer): string {
    const all = input instanceof Uint8Array ? input : new Uint8Array(input ?? new ArrayBuffer(0));
    const hasMark = all[0] === 0xef && all[1] === 0xbb && all[2] === 0xbf;
    const bytes = hasMark && !this.ignoreBOM ? all.subarray(3) : all;
    let text = "";
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
      const chunk = bytes.subarray(at, at + CHUNK_BYTES_MAX) as unknown as number[];
      text += String.fromCharCode.apply(null, chunk);
    }
    return ASCII.test(text) ? text : decodeSlowly(bytes, this.fatal);
  }
}

/** Continuation bytes of a lead byte, and the range of the first of them. */
function leadOf(byte: number): { more: number; low: number; high: number } | undefined {
  if (byte >= 0xc2 && byte <= 0xdf) return { more: 1, low: 0x80, high: 0xbf };
  if (byte === 0xe0) return { more: 2, low: 0xa0, high: 0xbf };
  if (byte === 0xed) return { more: 2, low: 0x80, high: 0x9f };
  if (byte >= 0xe1 && byte <= 0xef) return { more: 2, low: 0x80, high: 0xbf };
  if (byte === 0xf0) return { more: 3, low: 0x90, high: 0xbf };
  if (byte >= 0xf1 && byte <= 0xf3) return { more: 3, low: 0x80, high: 0xbf };
  if (byte === 0xf4) return { more: 3, low: 0x80, high: 0x8f };
  return undefined;
}

function decodeSlowly(bytes: Uint8Array, fatal: boolean): string {
  const points: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const byte = bytes[at++] ?? 0;
    let point = byte;
    if (byte >= 0x80) {
      const lead = leadOf(byte);
      let { low, high, more } = lead ?? { more: 0, low: 0, high: 0 };
      point = lead === undefined ? -1 : byte & (0x3f >> more);
      for (; more > 0; more--) {
        const next = bytes[at] ?? -1;
        if (next < low || next > high) {
          point = -1;
          break;
        }
        point = (point << 6) | (next & 0x3f);
        [low, high] = [0x80, 0xbf];
        at++;
      }
    }
    if (point < 0 && fatal) throw new TypeError("Cannot decode: the bytes are not UTF-8");
    points.push(String.fromCodePoint(point < 0 ? REPLACEMENT : point));
  }
  return points.join("");
}

/** Makes both global where they are not. */
export function installTextCoding(scope: Record<string, unknown>): void {
  scope.TextEncoder ??= Utf8Encoder;
  scope.TextDecoder ??= Utf8Decoder;
}
