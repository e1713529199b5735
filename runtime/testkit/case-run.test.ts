import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type Case, readCase } from "../contract/case.ts";
import { caseVector, runCase } from "./case-run.ts";
import { expectedOutcome } from "./index.ts";
import { openPlugin } from "./plugin-source.ts";
import { readVectors } from "./vectors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const plugin = await openPlugin(ROOT, `${ROOT}examples/plugins/line`);

const base64 = (text: string) => Buffer.from(text, "latin1").toString("base64");

const DENIED: Case = {
  format: "imker case 1",
  plugin: { name: "line", version: "0.1.0", digest: plugin.digest },
  stages: [{ point: "ingress", rules: [{ command: "GET", key: "a.*" }] }],
  facts: {
    source: "10.0.0.1",
    destination: "fd00::2",
    sourcePort: 40000,
    destinationPort: 7000,
    sourceIdentity: 1,
    destinationIdentity: 2,
  },
  steps: [
    {
      direction: "request",
      bytes: base64("GET a{b*3}\\\r\nGE"),
      end: "open",
      now: "1795633200000000000",
    },
    { direction: "request", bytes: base64("T b \r\n"), end: "closed", now: "1795633200000001000" },
    {
      direction: "response",
      bytes: base64("VALUE 1\r\n"),
      end: "open",
      now: "1795633200000002000",
    },
  ],
  observed: {
    records: [
      "request 0 forwarded command=GET key=a{b*3}\\",
      "request 1 denied by stage 0 command=GET key=b",
      "response 0 forwarded status=VALUE",
    ],
    client: base64("VALUE 1\r\nDENIED\r\n"),
  },
  exact: true,
  partial: [],
};

test("an exact case reproduces, natively too", () => {
  const report = runCase(readCase(JSON.stringify(DENIED)), plugin);
  expect(report).toMatchObject({
    reproduces: true,
    exact: true,
    samePlugin: true,
    differences: [],
    nativeDifferences: [],
  });
});

const http = await openPlugin(ROOT, `${ROOT}plugins/l7-http`);

/** A body passes, most of it unseen; the request behind it is denied. */
const BEHIND_A_BODY: Case = {
  ...DENIED,
  plugin: { name: "l7-http", version: "0.1.0", digest: http.digest },
  stages: [{ point: "ingress", rules: [{ path: "/ok" }] }],
  steps: [
    {
      direction: "request",
      bytes: base64("POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"),
      ...{ end: "open", now: "1795633200000000000" },
    },
    {
      direction: "request",
      bytes: base64(`${"\0".repeat(7)}GET /no HTTP/1.1\r\nHost: a\r\n\r\n`),
      unseen: 7,
      ...{ end: "open", now: "1795633200000001000" },
    },
  ],
  observed: {
    records: [
      expect.stringMatching(/^request 0 forwarded .*path=\/ok/) as unknown as string,
      expect.stringMatching(/^request 1 denied by stage 0 .*path=\/no/) as unknown as string,
    ],
  },
};

test("bytes that passed unseen do not count: the case stays exact", () => {
  const { observed: _, ...judged } = BEHIND_A_BODY;
  const { result } = runCase(BEHIND_A_BODY, http);
  expect(result).toMatchObject(BEHIND_A_BODY.observed);
  const { records } = result as { records: string[] };
  const report = runCase(readCase(JSON.stringify({ ...judged, observed: { records } })), http);
  expect(report).toMatchObject({ reproduces: true, exact: true, partial: [], unseen: 7 });
  expect(caseVector(BEHIND_A_BODY, result, "x")).toContain("Zeros stand for 7 bytes");
});

test("a plugin that looks at bytes that were not kept makes the case partial", () => {
  const steps = DENIED.steps.map((step, index) => (index === 0 ? { ...step, unseen: 5 } : step));
  const report = runCase({ ...DENIED, steps }, plugin);
  expect(report).toMatchObject({
    exact: false,
    partial: ["this plugin looks at some of 5 bytes that were not kept"],
  });
  const beyond = DENIED.steps.map((step) => ({ ...step, unseen: 1e6 }));
  expect(runCase({ ...DENIED, steps: beyond }, plugin).exact).toBe(false);
});

test("what comes out differently is said", () => {
  const observed = { ...DENIED.observed, close: "denied" as const };
  const report = runCase({ ...DENIED, observed }, plugin);
  expect(report.reproduces).toBe(false);
  expect(report.differences).toEqual(["close: expected denied, got none"]);
  const fault = runCase({ ...DENIED, observed: { records: [], fault: "fuel" } }, plugin);
  expect(fault.reproduces).toBe(false);
});

test("a case becomes a vector that holds, whatever bytes it has", () => {
  const { result } = runCase(DENIED, plugin);
  const [vector] = readVectors(caseVector(DENIED, result, "A case"));
  if (vector === undefined) throw new Error("no vector");
  expect(vector.name).toBe("A case");
  expect(expectedOutcome(vector)).toEqual(result);
  const again = plugin.wasm.run(vector, { name: "whole", of: () => Number.POSITIVE_INFINITY });
  expect(again).toEqual(result);
});

test.each([
  ["no JSON", "{", /not JSON/],
  ["a field that is missing", JSON.stringify({ ...DENIED, steps: undefined }), /steps: /],
  ["a partial case without reason", JSON.stringify({ ...DENIED, exact: false }), /partial: /],
  [
    "bytes that are no base64",
    JSON.stringify({ ...DENIED, observed: { records: [], client: "%" } }),
    /observed.client/,
  ],
])("%s is refused", (_name, text, reason) => {
  expect(() => readCase(text)).toThrow(reason);
});
