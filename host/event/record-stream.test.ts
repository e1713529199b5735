import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { FRAME, RECORD_KIND, RECORD_VERDICT } from "../../runtime/contract/records.ts";
import { DECODE_TICK_MS, DecodeBudget, REQUESTS_PER_TICK_MAX } from "./decode-budget.ts";
import {
  CONNECTIONS_PER_WORKER_MAX,
  PENDING_REQUESTS_PER_WORKER_MAX,
  RecordStream,
} from "./record-stream.ts";
import {
  frame,
  jsonFrame,
  OPEN_BODY,
  openFrame,
  RecordedEvents,
  recordBody,
} from "./testing/frames.ts";

const BODY = recordBody([[0, "GET"]]);

let events: RecordedEvents;
let stream: RecordStream;
let nowMs: number;

beforeEach(() => {
  events = new RecordedEvents();
  nowMs = 1_000;
  const budget = new DecodeBudget({ nowMs: () => nowMs });
  stream = new RecordStream({ sink: events, budget }, 3);
});

function take(bytes: Buffer): string | undefined {
  return stream.frame(bytes, 0, bytes.length);
}

function request(
  exchange: number,
  connection = 1,
  verdict: number = RECORD_VERDICT.forwarded,
): Buffer {
  const kind = RECORD_KIND.request;
  return frame({ type: FRAME.record, kind, connection, exchange, verdict, time: 10n }, BODY);
}

function response(exchange: number, connection = 1): Buffer {
  const kind = RECORD_KIND.response;
  return frame({ type: FRAME.record, kind, connection, exchange, time: 25n }, BODY);
}

describe("frame()", () => {
  test("joins records with their connection, and responses with their request", () => {
    for (const bytes of [openFrame(1), openFrame(2), request(0), request(1), request(0, 2)]) {
      expect(take(bytes)).toBeUndefined();
    }
    for (const bytes of [response(1), response(0, 2), response(0)]) take(bytes);
    const answers = events.records.slice(3).map(({ connection, exchange, request: asked }) => ({
      connection: connection.id,
      exchange,
      asked: [asked?.connection.id, asked?.exchange],
    }));
    expect(answers).toEqual([
      { connection: 1, exchange: 1, asked: [1, 1] },
      { connection: 2, exchange: 0, asked: [2, 0] },
      { connection: 1, exchange: 0, asked: [1, 0] },
    ]);
    expect(events.records[0]?.connection.open).toEqual(OPEN_BODY);
    expect(events.records[0]?.connection.worker).toBe(3);
  });

  test("a second response of an exchange, and one a million exchanges later, are not paired", () => {
    take(openFrame(1));
    take(request(0));
    take(response(2 ** 20));
    take(response(0));
    take(response(0));
    expect(events.records.map((record) => record.request !== undefined)).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect(stream.counters.unpaired).toBe(2);
  });

  test("records of connections it does not know are counted and lost", () => {
    expect(take(request(0, 77))).toBeUndefined();
    expect(events.records).toEqual([]);
    expect(events.losses).toEqual([{ worker: 3, cause: "orphan", count: 1 }]);
  });

  test("a repeated open replaces the facts; a close ends the connection", () => {
    take(openFrame(1));
    take(openFrame(1, { sourceIdentity: 2 }));
    take(request(0));
    take(jsonFrame({ type: FRAME.close, connection: 1, time: 5n }, { reason: "policy" }));
    take(request(1));
    expect(events.records).toHaveLength(1);
    expect(events.records[0]?.connection.open?.sourceIdentity).toBe(2);
    expect(events.closes).toMatchObject([{ reason: "policy", time: 5n }]);
  });

  test("lines of plugins are passed on", () => {
    take(openFrame(1));
    const line = { plugin: OPEN_BODY.plugin, level: "warn", message: "odd bytes" };
    take(jsonFrame({ type: FRAME.log, connection: 1, time: 9n }, line));
    take(jsonFrame({ type: FRAME.log, connection: 7 }, line));
    expect(events.logs).toMatchObject([
      { ...line, worker: 3, time: 9n, connection: { id: 1 } },
      { ...line, connection: undefined },
    ]);
  });

  test("recorded connections are passed on; what is none ends the stream", () => {
    const body = {
      ...{ open: OPEN_BODY, cause: "denied", records: [], missing: [] },
      steps: [{ direction: "request", bytes: "QQ==", end: "open", now: "1" }],
    };
    const header = { type: FRAME.case, connection: 1 };
    take(openFrame(1));
    expect(take(jsonFrame(header, body))).toBeUndefined();
    expect(events.cases).toMatchObject([{ worker: 3, body, connection: { id: 1 } }]);
    for (const wrong of [{}, { cause: "x" }, { steps: [{}] }, { open: null }, { missing: [1] }]) {
      const changed = Object.keys(wrong).length === 0 ? {} : { ...body, ...wrong };
      expect(take(jsonFrame(header, changed))).toMatch(/not a CaseBody/);
    }
    expect(events.cases.length).toBe(1);
  });

  test("faults and the worker's losses are passed on", () => {
    take(openFrame(1));
    const fault = { plugin: OPEN_BODY.plugin, message: "out of fuel", connections: 4 };
    take(jsonFrame({ type: FRAME.fault, connection: 1, time: 9n }, fault));
    take(jsonFrame({ type: FRAME.lost }, { frames: 12 }));
    expect(events.faults).toMatchObject([{ ...fault, worker: 3, time: 9n, connection: { id: 1 } }]);
    expect(events.losses).toEqual([{ worker: 3, cause: "worker", count: 12 }]);
    expect(stream.counters.lostByWorker).toBe(12);
  });

  test.each([
    ["an unknown type", frame({ type: 9 }, Buffer.alloc(0))],
    ["an unknown kind", frame({ type: FRAME.record, kind: 2, connection: 1 }, BODY)],
    ["an unknown verdict", frame({ type: FRAME.record, verdict: 4, connection: 1 }, BODY)],
    ["a broken record body", frame({ type: FRAME.record, connection: 1 }, BODY.subarray(1))],
    ["a close without reason", jsonFrame({ type: FRAME.close, connection: 1 }, {})],
    ["a close for an unknown reason", jsonFrame({ type: FRAME.close }, { reason: "bored" })],
    ["a fault without plugin", jsonFrame({ type: FRAME.fault }, { message: "", connections: 0 })],
    ["a line of no level", jsonFrame({ type: FRAME.log }, { ...OPEN_BODY, message: "" })],
    ["a negative loss", jsonFrame({ type: FRAME.lost }, { frames: -1 })],
    ["a loss that is no JSON", frame({ type: FRAME.lost }, Buffer.from("{"))],
  ])("%s ends the stream", (_name, bytes) => {
    take(openFrame(1));
    expect(take(bytes)).toBeTypeOf("string");
    expect(events.records).toEqual([]);
  });

  test.each([
    ["no JSON", frame({ type: FRAME.open, connection: 1 }, Buffer.from("nonsense"))],
    ["a port beyond 65535", openFrame(1, { sourcePort: 65_536 })],
    ["no plugin", jsonFrame({ type: FRAME.open, connection: 1 }, { ...OPEN_BODY, plugin: 1 })],
    ["three stages", openFrame(1, { stages: Array(3).fill(OPEN_BODY.stages[0]) })],
  ])("an open with %s has no facts", (_name, bytes) => {
    take(bytes);
    take(request(0));
    expect(events.records[0]?.connection.open).toBeUndefined();
  });

  test("never throws, whatever the frame", () => {
    fc.assert(
      fc.property(
        fc.nat(7),
        fc.uint8Array({ maxLength: 60 }),
        fc.nat(3),
        (type, body, connection) => {
          take(frame({ type, connection }, Buffer.from(body)));
        },
      ),
    );
  });
});

describe("limits", () => {
  test("beyond the budget whole exchanges are lost and counted, until the next tick", () => {
    take(openFrame(1));
    const sent = REQUESTS_PER_TICK_MAX + 50;
    for (let exchange = 0; exchange < sent; exchange++) take(request(exchange));
    for (let exchange = 0; exchange < sent; exchange++) take(response(exchange));
    stream.flush();
    expect(events.records).toHaveLength(2 * REQUESTS_PER_TICK_MAX);
    expect(events.losses).toEqual([{ worker: 3, cause: "budget", count: 100 }]);
    expect(stream.counters.unpaired).toBe(0);
    nowMs += DECODE_TICK_MS;
    take(request(sent));
    expect(events.records).toHaveLength(2 * REQUESTS_PER_TICK_MAX + 1);
  });

  test("the oldest connection gives way", () => {
    for (let id = 0; id <= CONNECTIONS_PER_WORKER_MAX; id++) take(openFrame(id));
    take(request(0, 0));
    take(request(0, 1));
    expect(events.records.map(({ connection }) => connection.id)).toEqual([1]);
    expect(stream.counters.connectionsEvicted).toBe(1);
  });

  test("the oldest waiting request gives way", () => {
    take(openFrame(1));
    for (let exchange = 0; exchange <= PENDING_REQUESTS_PER_WORKER_MAX; exchange++) {
      nowMs += DECODE_TICK_MS;
      take(request(exchange));
    }
    events.records.length = 0;
    take(response(0));
    take(response(1));
    expect(events.records.map(({ request: asked }) => asked?.exchange)).toEqual([undefined, 1]);
  });

  test("reset() forgets connections and waiting requests", () => {
    take(openFrame(1));
    take(request(0));
    stream.reset();
    take(request(1));
    take(openFrame(1));
    take(response(0));
    expect(events.records).toHaveLength(2);
    expect(events.records[1]?.request).toBeUndefined();
  });
});
