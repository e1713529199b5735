/** The largest package of the plugins that ship, as it is uploaded. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { RunError } from "../errors.ts";
import { atMost, type Figure } from "./figure.ts";

const GOAL_BYTES = 60 * 1024;

/** `folder` has one folder for each plugin, as `make plugins` leaves it. */
export function largestPlugin(folder: string): Figure {
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name, "plugin.wasm")).size);
  if (sizes.length === 0) throw new RunError(`Cannot measure plugins: ${folder} has none`);
  return atMost(GOAL_BYTES, "largest_plugin_bytes", Math.max(...sizes), "bytes");
}
