/// <reference path="./host-module.d.ts" />
/**
 * What the language does not bring and sources expect: text coding, and a console that writes to
 * the plugin's log. Imported before everything else.
 */
import { log } from "imker:l7/host@1.0.0";
import { installTextCoding } from "./text-coding.ts";

const scope = globalThis as unknown as Record<string, unknown>;

function logger(level: string): (...values: unknown[]) => void {
  return (...values) => log(level, values.map(String).join(" "));
}

installTextCoding(scope);
scope.console = {
  debug: logger("debug"),
  log: logger("info"),
  info: logger("info"),
  warn: logger("warn"),
  error: logger("error"),
};
