/** Frames of the record stream for tests, written as the contract says, byte by byte. */
import { FRAME, FRAME_HEADER_BYTES, type OpenBody } from "../../../runtime/contract/records.ts";
import type {
  L7Record,
  LossCause,
  ProxyCase,
  ProxyConnection,
  ProxyFault,
  ProxyLog,
  RecordSink,
} from "../types.ts";

export interface FrameHeader {
  type: number;
  kind?: number;
  verdict?: number;
  stage?: number;
  connection?: number;
  exchange?: number;
  time?: bigint;
}

export function frame(header: FrameHeader, body: Buffer): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  bytes.writeUInt32LE(FRAME_HEADER_BYTES + body.length, 0);
  bytes.writeUInt8(header.type, 4);
  bytes.writeUInt8(header.kind ?? 0, 5);
  bytes.writeUInt8(header.verdict ?? 0, 6);
  bytes.writeUInt8(header.stage ?? 0, 7);
  bytes.writeUInt32LE(header.connection ?? 0, 8);
  bytes.writeUInt32LE(header.exchange ?? 0, 12);
  bytes.writeBigUInt64LE(header.time ?? 0n, 16);
  return Buffer.concat([bytes, body]);
}

export function jsonFrame(header: FrameHeader, body: unknown): Buffer {
  return frame(header, Buffer.from(JSON.stringify(body)));
}

export function recordBody(
  fields: readonly (readonly [number, string | number | bigint])[],
): Buffer {
  const count = Buffer.alloc(2);
  count.writeUInt16LE(fields.length);
  const parts = fields.map(([key, value]) => {
    const bytes = typeof value === "string" ? Buffer.from(value) : Buffer.alloc(8);
    if (typeof value !== "string") bytes.writeBigUInt64LE(BigInt(value));
    const header = Buffer.alloc(8);
    header.writeUInt16LE(key, 0);
    header.writeUInt8(typeof value === "string" ? 0 : 1, 2);
    header.writeUInt32LE(bytes.length, 4);
    return Buffer.concat([header, bytes]);
  });
  return Buffer.concat([count, ...parts]);
}

export const OPEN_BODY: OpenBody = {
  source: "10.0.0.1",
  destination: "10.0.0.2",
  sourcePort: 33_044,
  destinationPort: 8_080,
  sourceIdentity: 26_450,
  destinationIdentity: 32_531,
  stages: [{ point: "ingress", endpoint: 2, ruleSet: 5, cookie: 7 }],
  plugin: { name: "l7-http", version: "0.1.0", digest: "sha256:ab" },
};

export function openFrame(connection: number, body: Partial<OpenBody> = {}): Buffer {
  return jsonFrame({ type: FRAME.open, connection }, { ...OPEN_BODY, ...body });
}

/** Keeps what it is told. */
export class RecordedEvents implements RecordSink {
  readonly records: L7Record[] = [];
  readonly closes: { connection: ProxyConnection; reason: string; time: bigint }[] = [];
  readonly faults: ProxyFault[] = [];
  readonly cases: ProxyCase[] = [];
  readonly logs: ProxyLog[] = [];
  readonly losses: { worker: number; cause: LossCause; count: number }[] = [];

  record(record: L7Record): void {
    this.records.push(record);
  }

  closed(connection: ProxyConnection, reason: string, time: bigint): void {
    this.closes.push({ connection, reason, time });
  }

  fault(fault: ProxyFault): void {
    this.faults.push(fault);
  }

  log(line: ProxyLog): void {
    this.logs.push(line);
  }

  recorded(one: ProxyCase): void {
    this.cases.push(one);
  }

  lost(worker: number, cause: LossCause, count: number): void {
    this.losses.push({ worker, cause, count });
  }
}
