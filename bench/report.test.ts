import { expect, test } from "vitest";
import type { RowResult } from "./l7.ts";
import type { Measurement } from "./load.ts";
import { toPodRows } from "./pods.ts";
import { haproxyConfig } from "./proxies/haproxy.ts";
import { HTTP_RULES } from "./proxies/rules.ts";
import { alignColumns, formatReport, toRatios, toReportRow } from "./report.ts";
import { findTool, requireTool } from "./tools.ts";

function measurement(cpuUsPerRequest: number, coreBusy = 1): Measurement {
  return {
    rps: 1e6 / cpuUsPerRequest,
    p50Us: 300,
    p99Us: 900,
    cpuUsPerRequest,
    machineUsPerRequest: 2 * cpuUsPerRequest,
    cpuMsPerGb: 100,
    coreBusy,
    coreProxy: coreBusy - 0.01,
  };
}

function result(name: string, ...measurements: Measurement[]): RowResult {
  return { name, measurements, notes: [] };
}

test("toReportRow() takes medians and their spread", () => {
  const row = toReportRow(result("relay", measurement(8), measurement(10), measurement(9)));
  expect(row).toMatchObject({ name: "relay", cpu_us_per_request: 9, rounds: 3, disturbed: false });
  expect(row.spread_percent.cpu_us_per_request).toBe(22);
});

test.each([
  { busy: 0.949, bound: true },
  { busy: 0.951, bound: false },
])("toReportRow() calls a core that is $busy busy client-bound: $bound", ({ busy, bound }) => {
  expect(toReportRow(result("relay", measurement(8, busy))).client_bound).toBe(bound);
});

test("toReportRow() says when others used the proxy's core", () => {
  const disturbed = { ...measurement(8), coreProxy: 0.8 };
  expect(toReportRow(result("relay", disturbed)).disturbed).toBe(true);
});

test("toRatios() compares medians and leaves out what was not measured", () => {
  const rows = [
    result("imker-node", measurement(9)),
    result("relay", measurement(7.5)),
    result("envoy", measurement(36)),
  ].map(toReportRow);
  expect(toRatios(rows)).toEqual({
    cpu_vs_envoy: 0.25,
    cpu_vs_haproxy: null,
    cpu_vs_relay: 1.2,
    deno_vs_node: null,
  });
});

test("toPodRows() relates rates to plain routing", () => {
  const rows = toPodRows(
    new Map([
      ["plain", [measurement(5), measurement(5)]],
      ["l4-policy", [measurement(5.1)]],
    ]),
  );
  expect(rows.map((row) => [row.name, row.ratio_to_plain])).toEqual([
    ["plain", 1],
    ["l4-policy", 0.98],
  ]);
});

test("formatReport() prints rows, goals and notes", () => {
  const rows = [result("imker-node", measurement(9)), result("envoy", measurement(20))];
  const reportRows = rows.map(toReportRow);
  const text = formatReport({
    shape: "keepalive",
    machine: "m",
    rows: reportRows.map((row) => ({ ...row, notes: ["a note"] })),
    ratios: toRatios(reportRows),
    pod_to_pod: [],
  });
  expect(text).toContain("cpu_vs_envoy    0.450   goal <= 0.3        MISSED");
  expect(text).toContain("imker-node: a note");
});

test("alignColumns() pads the first column to the right and the others to the left", () => {
  expect(
    alignColumns([
      ["a", "1"],
      ["bcd", "234"],
    ]),
  ).toBe("a      1\nbcd  234");
});

test("haproxyConfig() denies what none of the three rules allows", () => {
  const config = haproxyConfig("10.0.0.1:1", "10.0.0.2:2", HTTP_RULES);
  expect(config).toContain(
    "http-request deny deny_status 403 unless METH_GET path0 or METH_GET path1 or METH_POST path2",
  );
  expect(config).toContain("acl path2 path /api/v1/orders");
});

test("requireTool() names a missing tool and how to get it", () => {
  expect(findTool("sh")).toBeDefined();
  expect(() => requireTool("imk-no-such-tool", "/nowhere")).toThrow(
    "Cannot run the benchmark: imk-no-such-tool is missing",
  );
});
