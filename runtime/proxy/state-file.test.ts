import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ProxyState, RuleForm } from "../contract/control.ts";
import { loadState, parseState, saveState } from "./state-file.ts";

const FORM: RuleForm = {
  digest: `sha256:${"0".repeat(64)}`,
  compiled: "AAEC",
  patterns: [{ handle: 4, source: "a+" }],
};

const STATE: ProxyState = {
  revision: 3,
  plugins: [],
  services: [{ plugin: "p", active: null }],
  ruleSets: [{ id: 1, plugin: "p", mode: "audit", failure: "open", forms: [FORM] }],
};

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imk-state-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (): string => join(folder, "proxy-state.json");

describe("the state file", () => {
  test("is what was saved, and only its owner's", () => {
    expect(loadState(folder)).toBeUndefined();
    saveState(folder, STATE);
    saveState(folder, { ...STATE, revision: 4 });
    expect(loadState(folder)).toEqual({ ...STATE, revision: 4 });
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  test.each<[string, (text: string) => string]>([
    ["a changed byte", (text) => text.replace('"id":1', '"id":2')],
    ["a cut file", (text) => text.slice(0, -10)],
    ["an empty file", () => ""],
    ["another document", () => "[]"],
    ["a removed checksum", (text) => text.replace(/"sha256":"\w+",/, "")],
  ])("refuses %s", (_name, change) => {
    saveState(folder, STATE);
    writeFileSync(path(), change(readFileSync(path(), "utf8")));
    expect(() => loadState(folder)).toThrow(/Cannot use/);
  });
});

const RECORDING = { ruleSets: [1], until: 5, bytesMax: 65_536 };

describe("parseState()", () => {
  test("takes recordings", () => {
    const state = { ...STATE, recordings: [RECORDING] };
    expect(parseState(state)).toEqual(state);
  });

  test.each<[string, unknown, RegExp]>([
    ["no state", undefined, /Cannot use the state/],
    ["a rule set 0", { ...STATE, ruleSets: [{ ...STATE.ruleSets[0], id: 0 }] }, /ruleSets.0.id/],
    [
      "rules that are not base64",
      { ...STATE, ruleSets: [{ ...STATE.ruleSets[0], forms: [{ ...FORM, compiled: "?" }] }] },
      /ruleSets.0.forms.0.compiled/,
    ],
    [
      "a recording without a bound that holds",
      { ...STATE, recordings: [{ ...RECORDING, bytesMax: 65_537 }] },
      /recordings.0.bytesMax/,
    ],
    ["no services", { ...STATE, services: undefined }, /services/],
    [
      "a mode that is none",
      { ...STATE, ruleSets: [{ ...STATE.ruleSets[0], mode: "ask" }] },
      /ruleSets.0.mode/,
    ],
    [
      "a plugin without digest",
      { ...STATE, plugins: [{ digest: "sha256:12", path: "/x", manifest: {} }] },
      /plugins.0/,
    ],
  ])("refuses %s", (_name, value, message) => {
    expect(() => parseState(value)).toThrow(message);
  });
});
