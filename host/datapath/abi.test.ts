/**
 * The table of offsets against the type information of the built objects; encoders there and back.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  decodeConfig,
  decodeCt,
  decodeEndpoint,
  decodeEvent,
  decodeIpcacheKey,
  decodeMetric,
  decodePolicy,
  decodeTuple,
  encodeConfig,
  encodeEndpoint,
  encodeIpcacheKey,
  encodePolicyKey,
  encodePolicyValue,
  encodeTuple,
} from "./abi.ts";
import { dropReason } from "./drop-reason.ts";
import { ABI_VERSION, LAYOUT } from "./layout.ts";
import type { PolicyMapEntry } from "./types.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const HEADER = readFileSync(`${PROJECT}bpf/abi/abi.h`, "utf8");

interface BtfType {
  kind: string;
  name: string;
  size: number;
  members?: { name: string; bits_offset: number }[];
}

function readBtf(): Map<string, Record<string, number>> {
  execFileSync("make", ["-s", "-C", PROJECT, ".build/bpf/tests/abi.o"]);
  const text = execFileSync("bpftool", [
    "btf",
    "dump",
    "-j",
    "file",
    `${PROJECT}.build/bpf/tests/abi.o`,
  ]);
  const { types }: { types: BtfType[] } = JSON.parse(text.toString());
  return new Map(
    types
      .filter(({ kind }) => kind === "STRUCT")
      .map(({ name, size, members = [] }) => [
        name,
        Object.fromEntries([
          ["size", size],
          ...members.map((member) => [member.name, member.bits_offset / 8]),
        ]),
      ]),
  );
}

const defines = (pattern: RegExp): [string, number][] =>
  [...HEADER.matchAll(pattern)].map((match) => [match[1] ?? "", Number(match[2])]);

describe("abi", () => {
  const btf = readBtf();
  test.each(Object.entries(LAYOUT))(
    "struct %s is laid out as the kernel has it",
    (name, layout) => {
      expect(btf.get(name)).toEqual(layout);
    },
  );

  test("every struct of the header is in the table", () => {
    const declared = [...HEADER.matchAll(/^struct (\w+) \{/gm)].map((match) => match[1]);
    expect(declared.filter((name) => name !== "address").sort()).toEqual(
      Object.keys(LAYOUT).sort(),
    );
  });

  test("map versions are the header's", () => {
    const shared: Record<string, number> = {
      interfaces: ABI_VERSION.endpoints,
    };
    const versions = defines(/#define ABI_VERSION_(\w+) (\d+)/g).map(([name, value]) => [
      name.toLowerCase(),
      value,
    ]);
    expect({ ...Object.fromEntries(versions), ...shared }).toEqual(ABI_VERSION);
  });

  test("every drop reason of the header has a text", () => {
    const reasons = defines(/#define (DROP_\w+) (\d+)/g);
    expect(reasons.length).toBeGreaterThan(15);
    for (const [, number] of reasons)
      expect(dropReason(number).name).not.toBe("DROP_REASON_UNKNOWN");
    expect(dropReason(133)).toEqual({ name: "POLICY_DENIED", text: "Policy denied" });
    expect(dropReason(254).text).toBe("254");
  });
});

describe("prefixes", () => {
  test.each([
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["10.1.2.3", "10.1.2.3/32"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["::/0", "::/0"],
    ["fd00::/8", "fd00::/8"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1/128"],
    ["fe80::1", "fe80::1/128"],
    ["::ffff:10.0.0.1", "10.0.0.1/32"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221/128"],
  ])("encode %s and read back %s", (text, expected) => {
    expect(decodeIpcacheKey(encodeIpcacheKey(text))).toBe(expected);
  });

  test.each(["", "10.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "x/8", "fe80::1%eth0"])(
    "refuse %j",
    (text) => {
      expect(() => encodeIpcacheKey(text)).toThrow(/Cannot read/);
    },
  );
});

describe("rows", () => {
  const tuple = {
    source: "10.0.0.1",
    destination: "fd00::2",
    sourcePort: 40_000,
    destinationPort: 80,
    protocol: 6,
  };

  test("endpoint there and back, with one family and with both", () => {
    const one = {
      id: 7,
      identity: 300,
      ifname: "imk7",
      ifindex: 12,
      podMac: "02:00:00:00:00:01",
      hostMac: "02:00:00:00:00:02",
      ipv4: "10.0.0.7",
    };
    expect(decodeEndpoint(encodeEndpoint(one), "imk7")).toEqual(one);
    const both = { ...one, ipv6: "fd00::7" };
    expect(decodeEndpoint(encodeEndpoint(both), "imk7")).toEqual(both);
  });

  test.each<[string, Partial<PolicyMapEntry>, number]>([
    ["any protocol", { protocol: 0 }, 0],
    ["a protocol", { protocol: 6 }, 8],
    ["a port", { protocol: 6, port: 80, portPrefix: 16 }, 24],
    ["a port range", { protocol: 17, port: 1024, portPrefix: 6 }, 14],
    ["any protocol, watched", { protocol: 0, watch: true }, 0],
  ])("policy entry of %s there and back", (_name, fields, bits) => {
    const entry: PolicyMapEntry = {
      identity: 300,
      direction: "egress",
      protocol: 0,
      port: 0,
      portPrefix: 0,
      precedence: 0x1_64,
      deny: false,
      redirect: true,
      ruleSet: 9,
      cookie: 11,
      ...fields,
    };
    const key = new Uint8Array(LAYOUT.policy_key.size);
    const value = new Uint8Array(LAYOUT.policy_value.size);
    encodePolicyKey(key, entry);
    encodePolicyValue(value, entry);
    expect(decodePolicy(key, value)).toEqual(entry);
    expect(key[LAYOUT.policy_key.prefixlen]).toBe(40 + bits);
    expect(value[LAYOUT.policy_value.l4_prefixlen]).toBe(bits);
  });

  test("tuple and config there and back", () => {
    expect(decodeTuple(encodeTuple(tuple))).toEqual(tuple);
    const config = {
      epoch: 0xffff_fffe,
      worldIpv4: 9,
      worldIpv6: 10,
      traceEstablished: true,
      audit: true,
      host: false,
      hostAudit: true,
      hostByPolicy: true,
      denyByIcmp: true,
      fragNeeded: true,
      ctTimeouts: { tcp: 1, tcpOpening: 2, tcpClosing: 3, other: 4 },
    };
    expect(decodeConfig(encodeConfig(config))).toEqual(config);
  });

  test("a connection is shown in its original direction", () => {
    const value = new Uint8Array(LAYOUT.ct_value.size);
    const view = new DataView(value.buffer);
    view.setBigUint64(LAYOUT.ct_value.expires_ns, 5_500_000_000n, true);
    view.setUint32(LAYOUT.ct_value.flags, 1 | 2 | 4, true);
    view.setBigUint64(LAYOUT.ct_value.packets + 8, 3n, true);
    expect(decodeCt(encodeTuple(tuple), value, 2_000_000_000n)).toMatchObject({
      source: "fd00::2",
      sourcePort: 80,
      destination: "10.0.0.1",
      destinationPort: 40_000,
      expiresInSeconds: 3.5,
      proxied: true,
      seenReply: true,
      closing: false,
      packets: [0, 3],
    });
  });

  test("counters are summed over CPUs", () => {
    const values = new Uint8Array(32);
    const view = new DataView(values.buffer);
    view.setBigUint64(0, 2n, true);
    view.setBigUint64(8, 100n, true);
    view.setBigUint64(16, 3n, true);
    view.setBigUint64(24, 50n, true);
    expect(decodeMetric(Uint8Array.of(133, 1, 0, 0), values)).toEqual({
      reason: 133,
      direction: "egress",
      packets: 5,
      bytes: 150,
    });
  });

  test("an event of any bytes decodes", () => {
    for (const fill of [0, 0x7f, 0xff])
      expect(decodeEvent(new Uint8Array(LAYOUT.event.size).fill(fill), 0n).type).toBe(fill);
  });
});
