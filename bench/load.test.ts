import { expect, test } from "vitest";
import { type LoadReport, parseLoadReport, requireClean, toMeasurement } from "./load.ts";
import { hasListener, placedArgv } from "./process.ts";
import { findMismatch, type RecordCounts } from "./sink.ts";
import { isStaleName } from "./topology.ts";

const REPORT: LoadReport = {
  elapsedNs: 2e9,
  requests: 1000,
  bytes: 500_000,
  sent: 1200,
  completed: 1200,
  connectErrors: 0,
  resetErrors: 0,
  malformed: 0,
  statuses: { "200": 1200 },
  p50Ns: 100_000,
  p90Ns: 200_000,
  p99Ns: 300_000,
  snapshots: [
    {
      path: "/proc/stat",
      before: "cpu  0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n",
      after: "cpu  300 0 0 100 0 0 0 0\ncpu1 196 0 0 4 0 0 0 0\n",
    },
    { path: "/group/cpuacct.usage", before: "1000\n", after: "10001000\n" },
  ],
};

test("toMeasurement() relates CPU to the requests of the window", () => {
  const from = { proxyCpu: 1, cgroupFile: "/group/cpuacct.usage" };
  const measurement = toMeasurement(REPORT, from);
  expect(measurement).toEqual({
    rps: 500,
    p50Us: 100,
    p99Us: 300,
    cpuUsPerRequest: 10,
    machineUsPerRequest: 3000,
    cpuMsPerGb: 20_000,
    coreBusy: 0.98,
    coreProxy: 0.005,
  });
});

test.each([
  { name: "a denied request", change: { statuses: { "200": 1199, "403": 1 } } },
  { name: "a reset", change: { resetErrors: 1 } },
  { name: "an unanswered request", change: { sent: 1201 } },
  { name: "nothing at all", change: { requests: 0, sent: 0, completed: 0, statuses: {} } },
])("requireClean() refuses $name", ({ change }) => {
  expect(() => requireClean("relay", { ...REPORT, ...change })).toThrow("Cannot believe row relay");
});

test("parseLoadReport() takes what the generator prints and nothing else", () => {
  expect(parseLoadReport(JSON.stringify(REPORT))).toEqual(REPORT);
  for (const text of ["", "{}", '{"elapsedNs":0}', "null"]) {
    expect(() => parseLoadReport(text)).toThrow("Cannot read the load generator's report");
  }
});

test("placedArgv() enters the cgroup before anything is executed", () => {
  const argv = placedArgv({ cpu: 1, netns: "n", procsFiles: ["/g/cgroup.procs"] }, ["prog", "x"]);
  expect(argv).toEqual([
    "sh",
    "-c",
    "echo $$ > '/g/cgroup.procs' && exec \"$@\"",
    "sh",
    ..."nsenter --net=/run/netns/n taskset -c 1 prog x".split(" "),
  ]);
  expect(placedArgv({ cpu: 0 }, ["prog"])).toEqual(["taskset", "-c", "0", "prog"]);
});

test("hasListener() tells a listener from a connection of the same port", () => {
  const table = `  sl  local_address rem_address   st tx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 0100007F:0050 0100007F:1234 01 00000000:00000000
`;
  expect(hasListener(table, 8080)).toBe(true);
  expect(hasListener(table, 80)).toBe(false);
});

test("isStaleName() names only what a gone benchmark made", () => {
  const isAlive = (pid: number): boolean => pid === 7;
  expect(isStaleName("imk-b8-client", isAlive)).toBe(true);
  expect(isStaleName("imk-b7-client", isAlive)).toBe(false);
  expect(isStaleName("imk-demo", isAlive)).toBe(false);
});

const COUNTS: RecordCounts = {
  opens: 32,
  closes: 32,
  faults: 0,
  lost: 0,
  bytes: 1,
  requests: { forwarded: 1000, denied: 1, error: 0 },
  responses: { forwarded: 1000, denied: 0, error: 0 },
};

test.each([
  { name: "equal counts", change: {}, mismatch: undefined },
  { name: "few lost", change: { responses: { forwarded: 991, denied: 0, error: 0 }, lost: 9 } },
  { name: "a fault", change: { faults: 1 }, mismatch: "1 plugin faults" },
  {
    name: "missing responses",
    change: { responses: { forwarded: 900, denied: 0, error: 0 }, lost: 100 },
    mismatch: "900 response records for 1000 (100 frames lost)",
  },
  {
    name: "more than was sent",
    change: { requests: { forwarded: 1001, denied: 1, error: 0 } },
    mismatch: "1001 request records for 1000 (0 frames lost)",
  },
  {
    name: "an unreported denial",
    change: { requests: { forwarded: 1000, denied: 0, error: 0 } },
    mismatch: "0 denied requests for 1 (0 frames lost)",
  },
])("findMismatch() judges $name", ({ change, mismatch }) => {
  expect(findMismatch({ ...COUNTS, ...change }, { allowed: 1000, denied: 1 })).toBe(mismatch);
});
