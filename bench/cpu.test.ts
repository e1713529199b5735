import { describe, expect, test } from "vitest";
import { findCgroupRoot } from "./cgroup.ts";
import { busyNs, busyShare, parseCgroupNs, parseProcStat } from "./cpu.ts";

// user nice system idle iowait irq softirq steal guest guest_nice
const BEFORE = `cpu  100 0 50 1000 10 0 5 3 0 0
cpu0 60 0 20 500 10 0 5 3 0 0
cpu1 40 0 30 500 0 0 0 0 0 0
intr 1
`;
const AFTER = `cpu  250 0 100 1000 10 0 5 3 0 0
cpu0 110 0 20 550 10 0 5 3 0 0
cpu1 96 0 66 504 0 0 2 2 0 0
intr 1
`;

describe("/proc/stat", () => {
  test("parseProcStat() tells the machine from its CPUs", () => {
    expect(parseProcStat(BEFORE)).toEqual({ busy: 155, idle: 1010, softirq: 5, steal: 3 });
    expect(parseProcStat(BEFORE, 1)).toEqual({ busy: 70, idle: 500, softirq: 0, steal: 0 });
  });

  test("busyNs() counts ticks of 10 ms", () => {
    expect(busyNs(BEFORE, AFTER)).toBe(200 * 10_000_000);
    expect(busyNs(BEFORE, AFTER, 0)).toBe(50 * 10_000_000);
  });

  test("busyShare() counts steal as busy: the core was not free", () => {
    expect(busyShare(BEFORE, AFTER, 0)).toBe(0.5);
    expect(busyShare(BEFORE, AFTER, 1)).toBe(0.96);
    expect(busyShare(BEFORE, BEFORE, 1)).toBe(0);
  });

  test("parseProcStat() refuses a CPU that is not there", () => {
    expect(() => parseProcStat(BEFORE, 7)).toThrow("Cannot read CPU time: /proc/stat has no cpu7");
  });
});

describe("cgroup", () => {
  test.each([
    { text: "123456789\n", ns: 123456789 },
    { text: "usage_usec 42\nuser_usec 40\nsystem_usec 2\n", ns: 42000 },
  ])("parseCgroupNs() reads $text", ({ text, ns }) => {
    expect(parseCgroupNs(text)).toBe(ns);
  });

  test.each(["", "nonsense\n"])("parseCgroupNs() refuses %j", (text) => {
    expect(() => parseCgroupNs(text)).toThrow("Cannot read CPU time");
  });

  test("findCgroupRoot() prefers v1 accounting and falls back to v2", () => {
    const v1 = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0";
    const v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0";
    expect(findCgroupRoot(`${v2}\n${v1}\n`)?.usage).toBe("cpuacct.usage");
    expect(findCgroupRoot(`${v2}\n`)).toEqual({ folder: "/sys/fs/cgroup", usage: "cpu.stat" });
    expect(findCgroupRoot("proc /proc proc rw 0 0\n")).toBeUndefined();
  });
});
