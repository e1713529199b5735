/** When the collector looks again, and that it looks through everything. */
import { afterEach, describe, expect, test } from "vitest";
import type { CtCounts, CtSweep } from "../datapath/types.ts";
import { CtCollector, nextInterval } from "./ct-collector.ts";

const counts = (ipv4Tcp: number): CtCounts => ({
  ...{ ipv4Tcp, ipv4Other: 0 },
  ...{ ipv6Tcp: 0, ipv6Other: 1 },
});

/** A map of so many stretches; one that is negative fails. */
function kernelOf(stretches: number) {
  const asked: (number | undefined)[] = [];
  return {
    asked,
    ctCapacity: () => 1000,
    sweepCt: (from?: Uint8Array): CtSweep => {
      if (stretches < 0) throw new Error("the kernel said no");
      asked.push(from?.[0]);
      const at = (from?.[0] ?? 0) + 1;
      const next = at < stretches ? Uint8Array.of(at) : undefined;
      return { next, alive: counts(2), deleted: counts(1) };
    },
  };
}

let collector: CtCollector | undefined;
afterEach(() => collector?.close());

test.each<[string, number, { alive: number; deleted: number }, number]>([
  ["many had expired", 100, { alive: 60, deleted: 40 }, 50],
  ["few had expired", 100, { alive: 99, deleted: 1 }, 150],
  ["some had expired", 100, { alive: 90, deleted: 10 }, 100],
  ["nothing is there", 100, { alive: 0, deleted: 0 }, 150],
  ["never more often", 10, { alive: 1, deleted: 99 }, 10],
  ["never more rarely", 590, { alive: 99, deleted: 0 }, 600],
  ["the map is nearly full", 600, { alive: 760, deleted: 0 }, 10],
])("interval: %s", (_name, seconds, found, expected) => {
  expect(nextInterval(seconds, { ...found, capacity: 1000 })).toBe(expected);
});

describe("a pass", () => {
  test("looks through every stretch, once however many ask", async () => {
    const kernel = kernelOf(3);
    collector = new CtCollector(kernel, () => {});
    const [one, other] = await Promise.all([collector.collect(), collector.collect()]);
    expect(kernel.asked).toEqual([undefined, 1, 2]);
    expect(one).toEqual(other);
    expect(one).toMatchObject({ passes: 1, capacity: 1000 });
    expect(one.alive).toEqual({ ipv4Tcp: 6, ipv4Other: 0, ipv6Tcp: 0, ipv6Other: 3 });
    const again = await collector.collect();
    expect(again.alive.ipv4Tcp).toBe(6);
    expect(again.deleted).toEqual({ ipv4Tcp: 6, ipv4Other: 0, ipv6Tcp: 0, ipv6Other: 6 });
  });

  test("that finds hardly any room says so", async () => {
    const kernel = kernelOf(3);
    collector = new CtCollector({ ...kernel, ctCapacity: () => 11 }, () => {});
    await collector.collect();
    expect(collector.trouble).toBeUndefined();
    collector.close();
    collector = new CtCollector({ ...kernel, ctCapacity: () => 9 }, () => {});
    await collector.collect();
    expect(collector.trouble).toMatch("conntrack: 9 of 9 connections");
  });

  test("that fails is told of and followed by others", async () => {
    collector = new CtCollector(kernelOf(-1), () => {});
    await expect(collector.collect()).rejects.toThrow("the kernel said no");
    await expect(collector.collect()).rejects.toThrow("the kernel said no");
    expect(collector.status().passes).toBe(0);
  });
});
