/** The engine addon alone: its layout, its argument checks and its limits, without a namespace. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Engine, type EngineOptions, loadEngine } from "./index.ts";
import {
  CLOSED,
  COUNTERS,
  ENGINE_OPERATION,
  EVENT,
  EVENT_END,
  EVENT_HEADER,
  FACTS,
  INJECT_BYTES_MAX,
  QUAD,
  QUEUE_BYTES_MAX,
  WINDOW_BYTES_MAX,
} from "./protocol.ts";

const addon = loadEngine();

function options(): EngineOptions {
  return {
    arena: new Uint8Array(WINDOW_BYTES_MAX),
    events: new Int32Array(EVENT_HEADER + 64 * QUAD),
    operations: new Int32Array(64 * QUAD),
    inject: new Uint8Array(1024),
    records: new Uint8Array(1024),
    connectionsMax: 4,
    handoffMap: -1,
  };
}

function withEngine(run: (engine: Engine, memory: EngineOptions) => void): void {
  const memory = options();
  const engine = new addon.Engine(memory);
  try {
    run(engine, memory);
  } finally {
    engine.close();
  }
}

describe("protocol", () => {
  test("protocol.ts says what protocol.h says", () => {
    expect(addon.layout).toEqual({
      eventHeader: EVENT_HEADER,
      factsBytes: FACTS.bytes,
      counters: COUNTERS.length,
      windowBytesMax: WINDOW_BYTES_MAX,
      injectBytesMax: INJECT_BYTES_MAX,
      queueBytesMax: QUEUE_BYTES_MAX,
    });
  });

  const header = readFileSync(join(import.meta.dirname, "protocol.h"), "utf8");
  test.each([
    ["EVENT", EVENT],
    ["END", EVENT_END],
    ["CLOSED", CLOSED],
    ["OPERATION", ENGINE_OPERATION],
  ])("%s codes agree", (prefix, codes) => {
    const found = Object.fromEntries(
      [...header.matchAll(new RegExp(`\\b${prefix}_([A-Z]+) = (\\d+)`, "g"))].map((match) => [
        match[1]?.toLowerCase(),
        Number(match[2]),
      ]),
    );
    delete found.header;
    expect(found).toEqual(codes);
  });
});

describe("engine", () => {
  test("poll() waits no longer than told and reports the time", () => {
    withEngine((engine, memory) => {
      expect(engine.poll(0)).toBe(0);
      const low = (memory.events[1] ?? 0) >>> 0;
      const ms = ((memory.events[2] ?? 0) * 2 ** 32 + low) / 1e6;
      expect(Math.abs(ms - Date.now())).toBeLessThan(1000);
    });
  });

  test("wake() from elsewhere ends a poll", () => {
    withEngine((engine, memory) => {
      addon.wake(engine.wakeFd());
      const began = performance.now();
      expect(engine.poll(5000)).toBe(1);
      expect(performance.now() - began).toBeLessThan(1000);
      expect((memory.events[EVENT_HEADER] ?? 0) & 0xff).toBe(EVENT.wake);
      expect(engine.poll(0)).toBe(0);
    });
  });

  test("operations on slots that are not there are ignored", () => {
    withEngine((engine, memory) => {
      for (const [i, slot] of [0, 3, 4, -1, 0x7fffffff].entries()) {
        memory.operations.set([ENGINE_OPERATION.reset, slot, 0, 0], i * QUAD);
      }
      engine.flush(5, true);
      expect(engine.poll(0)).toBe(0);
    });
  });

  test.each<[string, (engine: Engine) => void, RegExp]>([
    ["too many operations", (engine) => engine.flush(65, true), /so many operations/],
    ["too many record bytes", (engine) => engine.writeRecords(1025), /so many record bytes/],
    [
      "a name for an address",
      (engine) => engine.listenStatic("localhost", 0, "::1", 1, new Uint32Array(8)),
      /'localhost': not an IP address/,
    ],
    [
      "facts of the wrong length",
      (engine) => engine.listenStatic("127.0.0.1", 0, "::1", 1, new Uint32Array(7)),
      /not 8 words/,
    ],
    [
      "a record socket whose path is too long",
      (engine) => engine.listenRecords(`/tmp/${"x".repeat(200)}`),
      /Cannot bind the record socket/,
    ],
  ])("refuses %s", (_name, run, message) => {
    withEngine((engine) => expect(() => run(engine)).toThrow(message));
  });

  test("a closed engine says so", () => {
    const engine = new addon.Engine(options());
    engine.close();
    expect(() => engine.poll(0)).toThrow(/it is closed/);
  });

  test("too small an arena is refused", () => {
    expect(() => new addon.Engine({ ...options(), arena: new Uint8Array(10) })).toThrow(/arena/);
  });

  test("a failed system call has code and errno", () => {
    expect(() => addon.openMap("/nonexistent/map")).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^E/), errno: expect.any(Number) }),
    );
  });

  test("two engines of one thread do not disturb each other", () => {
    withEngine((first) => {
      withEngine((second) => {
        addon.wake(first.wakeFd());
        expect(second.poll(0)).toBe(0);
        expect(first.poll(0)).toBe(1);
      });
    });
  });
});
