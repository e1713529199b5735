import { setImmediate } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FlowFacts, RingEntry } from "./flow-facts.ts";
import { timestampOf } from "./flow-message.ts";
import { LostEventSource, Verdict } from "./gen/flow/flow_pb.ts";
import {
  type GetFlowsRequest,
  GetFlowsRequestSchema,
  type GetFlowsResponse,
} from "./gen/observer/observer_pb.ts";
import { Observer } from "./observer.ts";
import { FlowRing } from "./ring.ts";
import { collectingBuilder, NODE, SYN } from "./testing/fixture.ts";

const CAPACITY = 15;
const MINUTE_NS = 60_000_000_000n;

/** Flow `index` has time `index` seconds; odd ones are dropped. */
function flow(index: number): FlowFacts {
  const { builder, entries } = collectingBuilder();
  const drop = { type: 1, subType: 133 };
  builder.packet({ ...SYN, ...(index % 2 === 1 ? drop : {}) });
  const [made] = entries;
  if (made?.kind !== "flow") throw new Error("no flow");
  return Object.assign(made, { time: second(index) });
}

function second(index: number): bigint {
  return BigInt(index) * 1_000_000_000n;
}

function observe(ring: FlowRing, nowNs: () => bigint = () => 0n): Observer {
  return new Observer({ ring, node: NODE, nowNs, yieldTurn: () => setImmediate() });
}

function ringOf(count: number): FlowRing {
  const ring = new FlowRing(CAPACITY);
  for (let index = 0; index < count; index++) ring.push(flow(index));
  return ring;
}

function request(init: MessageInitShape<typeof GetFlowsRequestSchema>): GetFlowsRequest {
  return create(GetFlowsRequestSchema, init);
}

/** Seconds of flows; losses as `lost n`. */
function label(response: GetFlowsResponse): number | string {
  const { responseTypes } = response;
  if (responseTypes.case === "flow") return Number(responseTypes.value.time?.seconds);
  if (responseTypes.case === "lostEvents") return `lost ${responseTypes.value.numEventsLost}`;
  return "?";
}

async function answer(
  ring: FlowRing,
  init: MessageInitShape<typeof GetFlowsRequestSchema>,
): Promise<(number | string)[]> {
  const labels: (number | string)[] = [];
  const never = new AbortController().signal;
  for await (const each of observe(ring).getFlows(request(init), never)) labels.push(label(each));
  return labels;
}

const DROPS = { verdict: [Verdict.DROPPED] };

describe("getFlows()", () => {
  test.each<[string, MessageInitShape<typeof GetFlowsRequestSchema>, number[]]>([
    ["everything", {}, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]],
    [
      "all, as the CLI asks",
      { number: 2n ** 64n - 1n },
      [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    ],
    ["the last", { number: 3n }, [17, 18, 19]],
    ["the first", { number: 2n, first: true }, [5, 6]],
    ["the last that match", { number: 3n, whitelist: [DROPS] }, [15, 17, 19]],
    ["the first that match", { number: 2n, first: true, blacklist: [DROPS] }, [6, 8]],
    ["since", { since: timestampOf(second(17)) }, [17, 18, 19]],
    ["since beats number's rewinding", { since: timestampOf(second(16)), number: 2n }, [16, 17]],
    ["since and first", { since: timestampOf(second(16)), number: 2n, first: true }, [16, 17]],
    ["until", { until: timestampOf(second(7)) }, [5, 6, 7]],
    ["the last until", { until: timestampOf(second(12)), number: 2n }, [11, 12]],
    ["a window", { since: timestampOf(second(8)), until: timestampOf(second(9)) }, [8, 9]],
    ["nothing matches", { number: 3n, whitelist: [{ sourcePod: ["nobody"] }] }, []],
  ])("%s", async (_name, init, expected) => {
    expect(await answer(ringOf(20), init)).toEqual(expected);
  });

  test("agrees with a naive model", async () => {
    const seconds = fc.option(fc.nat(35), { nil: undefined });
    const requests = fc.record({
      number: fc.nat(20),
      first: fc.boolean(),
      drops: fc.boolean(),
      since: seconds,
      until: seconds,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(30),
        requests,
        async (count, { number, first, drops, since, until }) => {
          const matching = Array.from({ length: count }, (_, index) => index)
            .slice(-CAPACITY)
            .filter((index) => !drops || index % 2 === 1)
            .filter((index) => index >= (since ?? 0) && index <= (until ?? 99));
          const fromFront = first || since !== undefined;
          const wanted = fromFront ? matching.slice(0, number) : matching.slice(-number);
          const given = await answer(ringOf(count), {
            number: BigInt(number),
            first,
            whitelist: drops ? [DROPS] : [],
            ...(since === undefined ? {} : { since: timestampOf(second(since)) }),
            ...(until === undefined ? {} : { until: timestampOf(second(until)) }),
          });
          expect(given).toEqual(number === 0 ? matching : wanted);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("losses are shown and neither filtered nor counted", async () => {
    const ring = new FlowRing(CAPACITY);
    const loss: RingEntry = {
      kind: "loss",
      time: second(2),
      source: LostEventSource.OBSERVER_EVENTS_QUEUE,
      count: 9,
    };
    for (const entry of [flow(1), loss, flow(3)]) ring.push(entry);
    expect(await answer(ring, { number: 2n, whitelist: [DROPS] })).toEqual([1, "lost 9", 3]);
  });

  test.each<[string, MessageInitShape<typeof GetFlowsRequestSchema>, number[]]>([
    ["from now on", {}, [20, 21]],
    ["after the last two", { number: 2n }, [18, 19, 20, 21]],
    ["since", { since: timestampOf(second(19)) }, [19, 20, 21]],
    ["what matches", { number: 1n, whitelist: [DROPS] }, [19, 21]],
  ])("follow, %s", async (_name, init, expected) => {
    const ring = ringOf(20);
    const controller = new AbortController();
    const flows = observe(ring).getFlows(request({ follow: true, ...init }), controller.signal);
    const labels: (number | string)[] = [];
    const done = (async () => {
      for await (const each of flows) labels.push(label(each));
    })();
    for (const index of [20, 21]) {
      await setImmediate();
      ring.push(flow(index));
    }
    await setImmediate();
    controller.abort();
    await done;
    expect(labels).toEqual(expected);
  });

  test("a reader that is overrun learns what it lost, once a second", async () => {
    const ring = ringOf(3);
    let now = MINUTE_NS;
    const controller = new AbortController();
    const flows = observe(ring, () => now)
      .getFlows(request({ follow: true, number: 3n }), controller.signal)
      [Symbol.asyncIterator]();
    const next = async (): Promise<number | string> => label((await flows.next()).value);
    expect(await next()).toBe(0);
    for (let index = 3; index < 30; index++) ring.push(flow(index));
    expect(await next()).toBe("lost 14");
    expect(await next()).toBe(15);
    for (let index = 30; index < 40; index++) ring.push(flow(index));
    expect(await next()).toBe(25);
    now += 1_000_000_000n;
    expect(await next()).toBe("lost 9");
    controller.abort();
    expect((await flows.next()).done).toBe(true);
  });

  test.each<[MessageInitShape<typeof GetFlowsRequestSchema>, string]>([
    [{ first: true, follow: true }, "first cannot be specified with follow"],
    [{ whitelist: [{ protocol: ["carrier-pigeon"] }] }, "no protocol"],
    [{ fieldMask: { paths: ["nonsense"] } }, "invalid fieldmask"],
    [{ since: { seconds: 0n, nanos: -1 } }, "nanoseconds"],
  ])("a wrong request is refused at once: %#", (init, message) => {
    const { signal } = new AbortController();
    expect(() => observe(ringOf(1)).getFlows(request(init), signal)).toThrow(message);
  });

  test("repeats time and node, and obeys the mask", async () => {
    const { signal } = new AbortController();
    const init = { number: 1n, fieldMask: { paths: ["verdict", "source.pod_name"] } };
    for await (const each of observe(ringOf(2)).getFlows(request(init), signal)) {
      expect(each.nodeName).toBe(NODE.nodeName);
      expect(each.time?.seconds).toBe(1n);
      const { value } = each.responseTypes;
      expect(value).toMatchObject({
        verdict: Verdict.DROPPED,
        source: { podName: "a", identity: 0 },
      });
      expect(value).toMatchObject({ nodeName: "", Summary: "" });
    }
  });
});

test("serverStatus() counts", () => {
  const ring = ringOf(20);
  let now = second(0);
  const observer = observe(ring, () => now);
  now = second(20);
  expect(observer.serverStatus()).toMatchObject({
    numFlows: 15n,
    maxFlows: 15n,
    seenFlows: 20n,
    uptimeNs: second(20),
    version: "0.1.0",
    flowsRate: 1,
  });
});
