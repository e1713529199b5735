/**
 * The body of a `record` frame: checked once when it arrives, read into fields when somebody looks
 * at the flow. In between it is a string with one character a byte, which V8 keeps on its heap
 * (a small Buffer would cost an allocation outside it and a finalizer).
 */

/** The manifest allows 256 names for each kind of record. */
const FIELDS_MAX = 256;
const FIELD_HEADER_BYTES = 8;
const FIELD_TEXT = 0;
const FIELD_NUMBER = 1;
const NUMBER_BYTES = 8;

export interface RecordField {
  /** Index into `records.<kind>.fields` of the plugin's manifest. */
  readonly key: number;
  /** A number above 2^53 is given as text. */
  readonly value: string | number;
}

/** Whether the bytes are a record body; says what is wrong if not. */
export function checkRecordBody(bytes: Buffer, start: number, end: number): string | undefined {
  if (end - start < 2) return "record body has no field count";
  const count = bytes.readUInt16LE(start);
  if (count > FIELDS_MAX) return `record has ${count} fields, more than ${FIELDS_MAX}`;
  let at = start + 2;
  for (let index = 0; index < count; index++) {
    if (end - at < FIELD_HEADER_BYTES) return "record body ends within a field";
    const type = bytes[at + 2];
    const length = bytes.readUInt32LE(at + 4);
    if (type !== FIELD_TEXT && type !== FIELD_NUMBER) return `record field has type ${type}`;
    if (type === FIELD_NUMBER && length !== NUMBER_BYTES)
      return `record number has ${length} bytes`;
    at += FIELD_HEADER_BYTES;
    if (length > end - at) return "record body ends within a field";
    at += length;
  }
  return at === end ? undefined : `record body has ${end - at} bytes after its fields`;
}

/** The fields of a body that `checkRecordBody` accepted. */
export function readRecordFields(body: string): RecordField[] {
  const fields: RecordField[] = [];
  const count = u16(body, 0);
  let at = 2;
  for (let index = 0; index < count; index++) {
    const key = u16(body, at);
    const isNumber = body.charCodeAt(at + 2) === FIELD_NUMBER;
    const length = u16(body, at + 4) + u16(body, at + 6) * 0x10000;
    at += FIELD_HEADER_BYTES;
    fields.push({ key, value: isNumber ? number(body, at) : text(body, at, length) });
    at += length;
  }
  return fields;
}

function u16(body: string, at: number): number {
  return body.charCodeAt(at) + body.charCodeAt(at + 1) * 0x100;
}

function number(body: string, at: number): number | string {
  const low = u16(body, at) + u16(body, at + 2) * 0x10000;
  const high = u16(body, at + 4) + u16(body, at + 6) * 0x10000;
  const value = high * 0x1_0000_0000 + low;
  if (Number.isSafeInteger(value)) return value;
  return ((BigInt(high) << 32n) | BigInt(low)).toString();
}

function text(body: string, at: number, length: number): string {
  const bytes = body.slice(at, at + length);
  for (let index = 0; index < length; index++) {
    // Not ASCII: UTF-8, ill-formed parts of which become U+FFFD.
    if (bytes.charCodeAt(index) > 0x7f) return Buffer.from(bytes, "latin1").toString("utf8");
  }
  return bytes;
}
