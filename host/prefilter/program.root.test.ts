/**
 * The real program beside a plain oracle, on random lists: nested prefixes, duplicates, /0 to /128,
 * added and deleted in random order. Then frames of every odd kind, counters and events.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeEvent } from "../datapath/abi.ts";
import { buildFrame } from "../datapath/testdata/frame.ts";
import type { Lists } from "./generations.ts";
import { type Family, formatDenied, type Prefix, parseDenied } from "./prefix.ts";
import { PrefixList } from "./prefix-list.ts";
import { addresses, edges, isDeniedPlainly, prefixes } from "./testdata/cases.ts";
import { PrefilterProgram, XDP_DROP, XDP_PASS } from "./testdata/program.ts";

const RUNS = 30;
const IPV4_SOURCE_BYTE = 26;
const IPV6_SOURCE_BYTE = 22;

let program: PrefilterProgram;
beforeAll(() => {
  program = new PrefilterProgram();
});
afterAll(() => program.close());

const FRAMES = {
  4: buildFrame({ source: "192.0.2.1", destination: "192.0.2.2" }),
  6: buildFrame({ source: "2001:db8::1", destination: "2001:db8::2" }),
};

function isDropped(family: Family, address: readonly number[]): boolean {
  const frame = FRAMES[family].slice();
  const view = new DataView(frame.buffer);
  const source = family === 4 ? IPV4_SOURCE_BYTE : IPV6_SOURCE_BYTE;
  for (const [at, word] of address.entries()) view.setUint32(source + at * 4, word);
  return program.run(frame) === XDP_DROP;
}

/** The list in force, changed as the agent does it, and what it must hold. */
class Changed {
  readonly lists: Lists = { 4: new PrefixList(4), 6: new PrefixList(6) };
  readonly known = new Map<string, Prefix>();
  readonly probes: number[][] = [];

  constructor(first: Prefix[]) {
    for (const one of first) {
      this.lists[one.family].push(one);
      this.known.set(formatDenied(one), one);
    }
    for (const family of [4, 6] as const) this.lists[family].sort();
    program.generations.replace(this.lists);
  }

  add(one: Prefix): void {
    const isNew = !this.known.has(formatDenied(one));
    expect(this.lists[one.family].add(one)).toBe(isNew);
    this.known.set(formatDenied(one), one);
    if (isNew) this.#changed(one, true);
  }

  remove(pick: number): void {
    const one = [...this.known.values()][pick % this.known.size];
    if (one === undefined) return;
    this.known.delete(formatDenied(one));
    expect(this.lists[one.family].delete(one)).toBe(true);
    this.#changed(one, false);
  }

  compare(family: Family): void {
    expect(this.lists[family].size).toBe(this.known.size);
    for (const address of [...this.probes, ...[...this.known.values()].flatMap(edges)]) {
      const expected = isDeniedPlainly(this.known.values(), address);
      if (isDropped(family, address) !== expected) expect([address, !expected]).toBe(expected);
    }
  }

  #changed(one: Prefix, added: boolean): void {
    this.probes.push(...edges(one));
    if (!program.generations.change(this.lists[one.family], one, added)) {
      program.generations.replace(this.lists);
    }
  }
}

describe.each([4, 6] as const)("IPv%i", (family) => {
  const step = fc.record({
    add: fc.array(prefixes(family), { maxLength: 20 }),
    remove: fc.array(fc.nat(), { maxLength: 15 }),
  });
  test("any list, changed in any order, denies what the oracle denies", () => {
    const all = fc.tuple(
      fc.array(prefixes(family), { maxLength: 80 }),
      fc.array(step, { maxLength: 4 }),
      fc.array(addresses(family)),
    );
    fc.assert(
      fc.property(all, ([first, steps, others]) => {
        const changed = new Changed(first);
        changed.probes.push(...others);
        changed.compare(family);
        for (const { add, remove } of steps) {
          for (const one of add) changed.add(one);
          for (const pick of remove) changed.remove(pick);
          changed.compare(family);
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("thousands of single changes, until there is no room left and beyond", () => {
    const base = family === 4 ? "10.0.0.0" : "2001:db8::";
    const changed = new Changed([parseDenied(`${base}/30`)]);
    for (let at = 0; at < 1500; at++) {
      const one = parseDenied(
        family === 4
          ? `10.${at % 5}.${at % 251}.${at & 255}`
          : `2001:db8:${((at * 7919) % 65536).toString(16)}::${at}`,
      );
      changed.add(one);
      if (at % 3 === 0) changed.remove(at);
    }
    changed.compare(family);
    while (changed.known.size > 0) changed.remove(17);
    changed.compare(family);
  });
});

const VLAN = [0x81, 0, 0, 5];
const SERVICE_VLAN = [0x88, 0xa8, 0, 9];
/** A tag, or some, between the addresses and the ethertype. */
function tagged(frame: Uint8Array, ...tags: number[][]): Uint8Array {
  return Uint8Array.from([...frame.subarray(0, 12), ...tags.flat(), ...frame.subarray(12)]);
}

const denied4 = { source: "192.0.2.1", destination: "198.51.100.1" };
const denied6 = { source: "2001:db8::1", destination: "2001:db8:1::1" };
const hopByHop = { number: 0, bytes: new Uint8Array(8) };

describe("frames", () => {
  const lists = (...texts: string[]) => new Changed(texts.map(parseDenied));
  beforeAll(() => {
    lists("192.0.2.0/24", "2001:db8::/48");
  });

  test.each<[string, Uint8Array, number]>([
    ["IPv4", buildFrame(denied4), XDP_DROP],
    ["IPv4 from elsewhere", buildFrame({ ...denied4, source: "192.0.3.1" }), XDP_PASS],
    ["a denied destination", buildFrame({ ...denied4, source: "9.9.9.9" }), XDP_PASS],
    [
      "a later fragment",
      buildFrame({ ...denied4, fragment: { offset: 800, more: false, id: 1 } }),
      XDP_DROP,
    ],
    ["IPv6", buildFrame(denied6), XDP_DROP],
    ["IPv6 with an extension header", buildFrame({ ...denied6, extensions: [hopByHop] }), XDP_DROP],
    ["IPv6 from elsewhere", buildFrame({ ...denied6, source: "2001:db8:1::1" }), XDP_PASS],
    ["one VLAN tag", tagged(buildFrame(denied4), VLAN), XDP_DROP],
    ["two VLAN tags", tagged(buildFrame(denied6), SERVICE_VLAN, VLAN), XDP_DROP],
    ["three VLAN tags", tagged(buildFrame(denied4), SERVICE_VLAN, VLAN, VLAN), XDP_PASS],
    ["ARP", buildFrame({ ...denied4, ethertype: 0x0806 }), XDP_PASS],
    ["a cut IPv4 header", buildFrame({ ...denied4, length: 33 }), XDP_PASS],
    ["a cut IPv6 header", buildFrame({ ...denied6, length: 53 }), XDP_PASS],
    ["a header and nothing behind it", buildFrame({ ...denied4, length: 34 }), XDP_DROP],
    ["a cut VLAN tag", tagged(buildFrame(denied4), VLAN).slice(0, 16), XDP_PASS],
    ["nothing but Ethernet", buildFrame({ ...denied4, length: 14 }), XDP_PASS],
  ])("%s", (_name, frame, expected) => {
    expect(program.run(frame)).toBe(expected);
  });

  test("no list drops nothing; a list of one family leaves the other alone", () => {
    lists();
    expect(program.run(buildFrame(denied4))).toBe(XDP_PASS);
    lists("::/0");
    expect([buildFrame(denied4), buildFrame(denied6)].map((one) => program.run(one))).toEqual([
      XDP_PASS,
      XDP_DROP,
    ]);
    lists("0.0.0.0/0");
    expect([buildFrame(denied4), buildFrame(denied6)].map((one) => program.run(one))).toEqual([
      XDP_DROP,
      XDP_PASS,
    ]);
  });

  test("a drop is an event with what the packet was, at most one in an interval", () => {
    lists("192.0.2.0/24", "2001:db8::/32");
    const sent = { ...denied6, sourcePort: 1234, destinationPort: 443 };
    program.generations.setEventInterval(0);
    while (program.events().length > 0);
    program.run(tagged(buildFrame(sent), VLAN));
    program.run(buildFrame({ ...denied4, protocol: 1, type: 8, code: 0 }));
    const [first, second] = program.events().map((bytes) => decodeEvent(bytes, 0n));
    expect(first).toMatchObject({
      ...{ type: 1, subType: 223, direction: "ingress", endpoint: 0 },
      tuple: { ...sent, protocol: 6 },
      sourceMac: "02:00:00:00:00:aa",
    });
    expect(second?.tuple).toMatchObject({ ...denied4, protocol: 1, sourcePort: 8 << 8 });
    program.generations.setEventInterval(3_600_000_000);
    program.run(buildFrame(denied4));
    program.run(buildFrame(denied4));
    expect(program.events()).toHaveLength(0);
    program.generations.setEventInterval(1000);
  });
});
