import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FlowClock, TIME_LANES } from "./flow-clock.ts";
import { flowUuid, newUuidSalt } from "./flow-uuid.ts";

describe("distinct()", () => {
  test("never gives a time twice, and rises for each source", () => {
    const events = fc.array(fc.tuple(fc.nat(TIME_LANES - 1), fc.nat(2_000)), { maxLength: 300 });
    fc.assert(
      fc.property(events, (given) => {
        const clock = new FlowClock();
        const seen = new Set<bigint>();
        const last = new Map<number, bigint>();
        for (const [source, offset] of given) {
          const time = clock.distinct(1_000_000n + BigInt(offset), source);
          expect(seen.has(time)).toBe(false);
          expect(time > (last.get(source) ?? 0n)).toBe(true);
          seen.add(time);
          last.set(source, time);
        }
      }),
    );
  });

  test("moves a time by less than a microsecond", () => {
    const time = new FlowClock().distinct(1_000_000_007n, 5);
    expect(Number(time - 1_000_000_007n)).toBeGreaterThan(-TIME_LANES);
    expect(Number(time - 1_000_000_007n)).toBeLessThan(TIME_LANES);
  });

  test("follows a clock that was set back", () => {
    const clock = new FlowClock();
    clock.distinct(10_000_000_000n, 0);
    expect(clock.distinct(64n, 0)).toBe(64n);
  });
});

test("flowUuid() is unique for each time and salt", () => {
  const salt = newUuidSalt();
  const uuids = new Set<string>();
  for (let shift = 0n; shift < 64n; shift++) uuids.add(flowUuid(1n << shift, salt));
  for (let shift = 0n; shift < 58n; shift++) uuids.add(flowUuid(0n, 1n << shift));
  expect(uuids.size).toBe(122);
  expect(flowUuid(2n ** 64n - 1n, 2n ** 64n - 1n)).toBe("ffffffff-ffff-8fff-bfff-ffffffffffff");
  expect(flowUuid(0n, 0n)).toBe("00000000-0000-8000-8000-000000000000");
});
