/** Options of `imker agent` for the prefilter. */
import { type Command, InvalidArgumentError } from "commander";
import type { PrefilterOptions } from "../../prefilter/options.ts";

const MILLISECONDS_MAX = 3_600_000;

export interface PrefilterFlags {
  prefilterDevice: string[];
  prefilterEventMs: number;
}

export function addPrefilterOptions(agent: Command): Command {
  return agent
    .option(
      "--prefilter-device <interface>",
      "interface with the prefilter; repeat; default: those of --device",
      (value: string, all: string[]) => [...all, value],
      [],
    )
    .option(
      "--prefilter-event-ms <n>",
      "at most one drop event of the prefilter in this time, on each CPU",
      parseMilliseconds,
      1,
    );
}

export function prefilterOptions(flags: PrefilterFlags): PrefilterOptions {
  return { devices: flags.prefilterDevice, eventMs: flags.prefilterEventMs };
}

function parseMilliseconds(text: string): number {
  const milliseconds = Number(text);
  if (!Number.isInteger(milliseconds) || milliseconds < 0 || milliseconds > MILLISECONDS_MAX) {
    throw new InvalidArgumentError(`expected a number from 0 to ${MILLISECONDS_MAX}`);
  }
  return milliseconds;
}
