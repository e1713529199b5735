/** A change that is undone in time, kept, or taken up by the next agent. */
import { setTimeout as wait } from "node:timers/promises";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { SqliteStore } from "../store/sqlite.ts";
import { type Pending, PendingChange } from "./pending-change.ts";

const POLICY = { kind: "CiliumNetworkPolicy", namespace: "a", name: "p", revision: 3 } as const;

let store: SqliteStore;
let undone: Pending[];
let failures: number;

beforeEach(() => {
  store = new SqliteStore(":memory:");
  undone = [];
  failures = 0;
});
afterEach(() => store.close());

function create(nowMs = Date.now): PendingChange {
  const change: PendingChange = new PendingChange({
    ...{ log: pino({ level: "silent" }), store, nowMs },
    undo: async (pending) => {
      if (failures-- > 0) throw new Error("not now");
      undone.push(pending);
      change.end();
    },
  });
  return change;
}

function begin(change: PendingChange, inMs: number): Pending {
  const pending = { deadlineMs: Date.now() + inMs, timeoutMs: inMs, policies: [POLICY] };
  store.putAll([PendingChange.row(pending)]);
  change.begin(pending);
  return pending;
}

it("is undone in time, again if that fails, and not twice", async () => {
  const change = create();
  failures = 1;
  const pending = begin(change, 20);
  expect(() => change.demandNone()).toThrow(
    /another change is undone at .* unless it is confirmed/,
  );
  await vi.waitFor(() => expect(undone).toEqual([pending]), 3_000);
  change.demandNone();
  expect(store.get("policy-pending")).toBeUndefined();
});

it("is kept once it was confirmed", async () => {
  const change = create();
  begin(change, 30);
  change.end();
  await wait(60);
  expect([undone, change.current]).toEqual([[], undefined]);
});

it("is known to the next agent, and due if its time has passed", async () => {
  const pending = begin(create(), 100_000);
  const next = create();
  next.restore();
  expect([next.current, next.isDue]).toEqual([pending, false]);
  next.end();
  begin(create(), 100_000);
  const late = create(() => Date.now() + 200_000);
  late.restore();
  expect(late.isDue).toBe(true);
  late.end();
});

it("waits no longer than was asked for when the clock was set back meanwhile", () => {
  const HOUR_MS = 3_600_000;
  const pending = begin(create(), 60_000);
  let nowMs = pending.deadlineMs - 60_000 - 5 * HOUR_MS;
  const next = create(() => nowMs);
  next.restore();
  expect(next.current).toEqual({ ...pending, deadlineMs: nowMs + 60_000 });
  // It is written down: agents that come and go do not prolong it.
  nowMs += 50_000;
  const third = create(() => nowMs);
  third.restore();
  expect(third.current).toEqual(next.current);
  nowMs += 10_000;
  expect(third.isDue).toBe(true);
  for (const one of [next, third]) one.end();
});

it("is undone at once if a clock set forward says so: who is locked out cannot wait", () => {
  const pending = begin(create(), 60_000);
  const next = create(() => pending.deadlineMs + 1);
  next.restore();
  expect(next.isDue).toBe(true);
  next.end();
});
