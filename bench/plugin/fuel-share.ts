/**
 * Which share of a call is metering: the shipped component against the same one with the meter
 * taken out. Of the call as it is, so what the meter takes, not what it adds to an unmetered one.
 */
import { instantiate } from "../../runtime/isolate/index.ts";
import { RunError } from "../errors.ts";
import { atMost, type Figure } from "./figure.ts";
import { compareInTurn } from "./interleaved.ts";
import { BusyConnection, RecordCount, type Subject } from "./subject.ts";
import { prepareUnmetered } from "./unmetered-image.ts";

const GOAL_PERCENT = 25;

export function fuelShare(
  { component, image, compiled }: Subject,
  rounds: number,
  progress: (line: string) => void,
): Figure {
  const [meteredHost, plainHost] = [new RecordCount(), new RecordCount()];
  const meteredInstance = instantiate(image, meteredHost);
  const plainInstance = instantiate(prepareUnmetered(component, image), plainHost);
  const metered = new BusyConnection(meteredInstance, meteredHost, compiled);
  const plain = new BusyConnection(plainInstance, plainHost, compiled);
  const before = plainInstance.fuelUsed;
  const { first, second, compared } = compareInTurn(
    [() => metered.batch(), () => plain.batch()],
    rounds,
    (withFuel, without) => (1 - without / withFuel) * 100,
  );
  if (meteredInstance.fuelUsed === 0 || plainInstance.fuelUsed !== before) {
    throw new RunError("Cannot measure fuel: the meter is not where it should be");
  }
  progress(`a request: ${first.toFixed(0)} ns metered, ${second.toFixed(0)} ns unmetered`);
  return atMost(GOAL_PERCENT, "fuel_share_percent", compared, "%");
}
