/** When a trial stops by itself, and what it takes. */
import { describe, expect, test } from "vitest";
import type { Trial, TrialDifference } from "../contract/control.ts";
import { trialOf } from "./testing/native-state.ts";
import { TrialRun } from "./trial.ts";

const { stopOn } = trialOf("tried", "shadow");
const run = (stops: Partial<Trial["stopOn"]>, share = 1000): TrialRun =>
  new TrialRun(trialOf("tried", "shadow", { share, stopOn: { ...stopOn, ...stops } }));
const difference: TrialDifference = {
  ...{ time: 0, connection: 1, ruleSets: [1], direction: "request", offset: 0 },
  ...{ what: "verdict", active: "", tried: "" },
};

describe("stopOn", () => {
  test.each<[string, Partial<Trial["stopOn"]>, (trial: TrialRun) => void, string | undefined]>([
    ["no fault yet", { faults: 2 }, (trial) => trial.faulted("a"), undefined],
    ["the second fault", { faults: 2 }, (trial) => [1, 2].map(() => trial.faulted("a")), "faults"],
    ["no fault allowed", { faults: 0 }, (trial) => trial.faulted("a"), "faults"],
    ["a difference", { differences: 1 }, (trial) => trial.differs(difference), "differences"],
    ["few calls", { fuelRatio: 1.5 }, (trial) => trial.comparedCall(10, 1000), undefined],
    [
      "too much fuel",
      { fuelRatio: 1.5 },
      (trial) => {
        for (let i = 0; i < 100; i++) trial.comparedCall(10, 16);
      },
      "fuel",
    ],
    [
      "fuel that is not judged",
      { fuelRatio: 0 },
      (trial) => {
        for (let i = 0; i < 100; i++) trial.comparedCall(10, 16);
      },
      undefined,
    ],
    ["too slow", { callMicros: 20 }, (trial) => trial.calls(100, 2100), "latency"],
    ["fast enough", { callMicros: 20 }, (trial) => trial.calls(100, 1900), undefined],
  ])("%s", (_name, stops, act, stopped) => {
    const trial = run(stops);
    act(trial);
    expect(trial.share().stopped).toBe(stopped);
    expect(trial.takes(0)).toBe(stopped === undefined);
  });

  test("what stopped it first stays", () => {
    const trial = run({ faults: 1, differences: 1 });
    trial.faulted("a");
    trial.differs(difference);
    expect(trial.share()).toMatchObject({ stopped: "faults", differences: 1, lastFault: "a" });
  });
});

test.each([
  [0, 0, false],
  [1, 0, true],
  [1, 0.001, false],
  [500, 0.4999, true],
  [500, 0.5, false],
  [1000, 0.9999, true],
])("a share of %i in 1000 at %f: %s", (share, random, taken) => {
  expect(run({}, share).takes(random)).toBe(taken);
});

test("samples are the first 16", () => {
  const trial = run({});
  for (let offset = 0; offset < 20; offset++) trial.differs({ ...difference, offset });
  const { samples, differences } = trial.share();
  expect(samples.map(({ offset }) => offset)).toEqual([...Array(16).keys()]);
  expect(differences).toBe(20);
});
