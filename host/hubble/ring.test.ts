import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RingEntry } from "./flow-facts.ts";
import { LostEventSource } from "./gen/flow/flow_pb.ts";
import { HubbleError } from "./hubble-error.ts";
import { FlowRing, RING_FLOWS_DEFAULT } from "./ring.ts";

const { HUBBLE_RING_BUFFER } = LostEventSource;

function entry(count: number): RingEntry {
  return { kind: "loss", time: 0n, source: HUBBLE_RING_BUFFER, count };
}

describe("FlowRing", () => {
  test("holds the last entries under rising positions, as a list cut at its front does", () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 3, 7, 15), fc.nat(60), (capacity, pushes) => {
        const ring = new FlowRing(capacity);
        const all = Array.from({ length: pushes }, (_, index) => entry(index));
        for (const each of all) ring.push(each);
        expect(ring.next).toBe(pushes);
        expect(ring.length).toBe(Math.min(pushes, capacity));
        for (let position = -1; position <= pushes; position++) {
          const kept = position >= pushes - capacity ? all[position] : undefined;
          expect(ring.at(position)).toBe(kept);
        }
      }),
    );
  });

  test.each([0, 2, 4_096, 65_536, 131_071, 1.5, -1])("refuses a capacity of %d", (capacity) => {
    expect(() => new FlowRing(capacity)).toThrow(HubbleError);
  });

  test("has Hubble's default capacity", () => {
    expect(new FlowRing().capacity).toBe(RING_FLOWS_DEFAULT);
  });

  test("written() waits for the position, and ends with the signal", async () => {
    const ring = new FlowRing(3);
    const controller = new AbortController();
    const order: string[] = [];
    const waits = [
      ring.written(0, controller.signal).then(() => order.push("first")),
      ring.written(1, controller.signal).then(() => order.push("second")),
    ];
    const never = ring.written(9, controller.signal).then(() => order.push("aborted"));
    ring.push(entry(0));
    await waits[0];
    order.push("-");
    ring.push(entry(1));
    await waits[1];
    controller.abort();
    await never;
    expect(order).toEqual(["first", "-", "second", "aborted"]);
    await ring.written(99, controller.signal);
  });
});
