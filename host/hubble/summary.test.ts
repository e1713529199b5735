/** Summaries in a plugin's own words. */
import { describe, expect, it } from "vitest";
import { templateSummary } from "./summary.ts";

describe("templateSummary", () => {
  it.each<[string, Record<string, string>, string]>([
    ["{command}[ {key}]", { command: "GET", key: "a" }, "line GET a"],
    ["{command}[ {key}]", { command: "QUIT" }, "line QUIT"],
    ["{command} {key}", { command: "GET" }, "line GET "],
    ["[{a}][{b}]", { b: "{a}" }, "line {a}"],
    ["[{toString}]x", {}, "line x"],
    ["as it is", {}, "line as it is"],
  ])("%s of %j", (template, fields, text) => {
    expect(templateSummary("line", template, fields)).toBe(text);
  });
});
