import { describe, expect, it } from "vitest";
import { LOG_LINES_MAX, PluginLog } from "./plugin-log.ts";

const add = (log: PluginLog, name: string, message: string): void => {
  log.add({ plugin: { name, version: "1.0.0", digest: "d" }, level: "info", message }, 0);
};

const next = async (lines: AsyncGenerator<{ message: string }>): Promise<string | undefined> => {
  const { value } = await lines.next();
  return (value as { message: string } | undefined)?.message;
};

describe("PluginLog", () => {
  it("keeps the last lines of each plugin", () => {
    const log = new PluginLog();
    for (let i = 0; i < LOG_LINES_MAX + 5; i++) add(log, "a", String(i));
    add(log, "b", "other");
    expect(log.last("a", LOG_LINES_MAX + 9)).toHaveLength(LOG_LINES_MAX);
    expect(log.last("a", 2).map(({ message }) => message)).toEqual(["1003", "1004"]);
    expect(log.last("b", 5)).toMatchObject([{ time: "1970-01-01T00:00:00.000Z", plugin: "b" }]);
    expect(log.last("c", 5)).toEqual([]);
    expect(log.last("a", 0)).toEqual([]);
  });

  it("gives a follower what was and what comes, until it is told to stop", async () => {
    const log = new PluginLog();
    const stop = new AbortController();
    add(log, "a", "before");
    const lines = log.follow("a", 10, stop.signal);
    expect(await next(lines)).toBe("before");
    const coming = next(lines);
    add(log, "b", "not this");
    add(log, "a", "after");
    expect(await coming).toBe("after");
    const none = next(lines);
    stop.abort();
    expect(await none).toBeUndefined();
  });

  it("counts what a slow follower loses, and bounds their number", async () => {
    const log = new PluginLog();
    const stop = new AbortController();
    const lines = log.follow("a", 0, stop.signal);
    for (let i = 0; i < LOG_LINES_MAX + 3; i++) add(log, "a", String(i));
    const read: (string | undefined)[] = [];
    for (let i = 0; i <= LOG_LINES_MAX; i++) read.push(await next(lines));
    expect(read.slice(-2)).toEqual(["999", "3 lines lost: the reader was too slow"]);
    for (let i = 0; i < 63; i++) log.follow("a", 0, stop.signal);
    expect(() => log.follow("a", 0, stop.signal)).toThrow(/64 follow already/);
    stop.abort();
    expect(() => log.follow("a", 0, new AbortController().signal)).not.toThrow();
  });
});
