import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FRAME } from "../../runtime/contract/records.ts";
import { RecordClients } from "./record-client.ts";
import { frame, openFrame, RecordedEvents, recordBody } from "./testing/frames.ts";

const BODY = recordBody([[0, "GET"]]);
const RECORD = frame({ type: FRAME.record, connection: 1 }, BODY);

let runDir: string;
let events: RecordedEvents;
let warnings: object[];
let clients: RecordClients;
let servers: Server[];
let sockets: Socket[];

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), "imk-records-"));
  events = new RecordedEvents();
  warnings = [];
  servers = [];
  sockets = [];
  const log = { warn: (fields: object) => warnings.push(fields) };
  clients = new RecordClients({ sink: events, log, nowMs: () => performance.now() }, { runDir });
});

afterEach(() => {
  clients.close();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  rmSync(runDir, { recursive: true });
});

function listen(worker: number): Promise<Server> {
  const server = createServer((socket) => sockets.push(socket));
  servers.push(server);
  return new Promise((resolve) => {
    server.listen(join(runDir, `records-${worker}.sock`), () => resolve(server));
  });
}

async function connected(count: number): Promise<void> {
  await vi.waitFor(() => expect(sockets).toHaveLength(count), { timeout: 3_000 });
}

describe("RecordClients", () => {
  test("reads the streams of all workers", async () => {
    await listen(0);
    await listen(1);
    clients.setWorkers(2);
    await connected(2);
    for (const socket of sockets) socket.write(Buffer.concat([openFrame(1), RECORD]));
    await vi.waitFor(() => expect(events.records).toHaveLength(2));
    expect(new Set(events.records.map(({ connection }) => connection.worker))).toEqual(
      new Set([0, 1]),
    );
    expect(clients.counters()).toMatchObject([
      { connected: true, records: 1 },
      { connected: true, records: 1 },
    ]);
  });

  test("finds a worker that starts later, and again after it is gone", async () => {
    clients.setWorkers(1);
    await listen(0);
    await connected(1);
    sockets[0]?.write(Buffer.concat([openFrame(1), RECORD]));
    await vi.waitFor(() => expect(events.records).toHaveLength(1));
    sockets[0]?.destroy();
    await connected(2);
    // Connections are those of the new stream only.
    sockets[1]?.write(Buffer.concat([RECORD, openFrame(1), RECORD]));
    await vi.waitFor(() => expect(events.records).toHaveLength(2));
    expect(events.losses).toEqual([{ worker: 0, cause: "orphan", count: 1 }]);
  });

  test("closes a stream that breaks the contract and says why", async () => {
    await listen(0);
    clients.setWorkers(1);
    await connected(1);
    const ended = new Promise((resolve) => sockets[0]?.on("close", resolve));
    sockets[0]?.resume();
    sockets[0]?.write(Buffer.alloc(64, 0xff));
    await ended;
    expect(warnings).toMatchObject([{ worker: 0, error: expect.stringContaining("frame length") }]);
    expect(clients.counters()).toMatchObject([{ broken: 1 }]);
  });

  test("setWorkers() closes the streams of workers that are gone", async () => {
    await listen(0);
    await listen(1);
    clients.setWorkers(2);
    await connected(2);
    const gone = sockets.map(
      (socket) => new Promise((resolve) => socket.resume().on("end", resolve)),
    );
    clients.setWorkers(1);
    await Promise.race(gone);
    expect(clients.counters()).toHaveLength(1);
  });
});
