import { describe, expect, it } from "vitest";
import { compareVersions } from "./semver.ts";

/** Each lower than the next; the list of the specification and what it leaves out. */
const ASCENDING = [
  "0.9.9",
  "1.0.0-1",
  "1.0.0-2",
  "1.0.0-11",
  "1.0.0-alpha",
  "1.0.0-alpha.1",
  "1.0.0-alpha.beta",
  "1.0.0-beta",
  "1.0.0-beta.2",
  "1.0.0-beta.11",
  "1.0.0-rc.1",
  "1.0.0",
  "1.0.1",
  "1.9.0",
  "1.10.0",
  "1.10.90071992547409930",
  "1.10.90071992547409931",
  "2.0.0",
];

describe("compareVersions()", () => {
  it("orders versions as the specification does", () => {
    for (const [i, a] of ASCENDING.entries()) {
      for (const [j, b] of ASCENDING.entries()) {
        expect([a, b, Math.sign(compareVersions(a, b))]).toEqual([a, b, Math.sign(i - j)]);
      }
    }
  });
});
