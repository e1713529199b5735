/**
 * Single frames: every protocol that policy names, in both directions and families, against every
 * kind of entry; and that what one protocol's entry allows no other protocol may use.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildFrame, type FrameSpec, PROTOCOL } from "./testdata/frame.ts";
import { ALLOW_ALL, entry } from "./testdata/node-client.ts";
import type { ProgramBench, Run } from "./testdata/program-bench.ts";
import { A, B, families, icmpOf, TwoPods, verdicts } from "./testdata/two-pods.ts";
import type { PolicyMapEntry } from "./types.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => pods.reset());

const PORT = 8080;
const WITHOUT_PORTS = ["igmp", "ipip", "ipv6", "gre", "esp", "ah", "vrrp"] as const;

interface Protocol {
  protocol: string;
  number: number;
  /** As a policy entry names it; undefined: it has none. */
  port: number | undefined;
  fields: Partial<FrameSpec>;
}

function protocolsOf(name: "IPv4" | "IPv6"): Protocol[] {
  const { icmp, echo } = icmpOf(name);
  const withPorts = { sourcePort: 4000, destinationPort: PORT };
  return [
    ...(["tcp", "udp", "sctp"] as const).map((protocol) => ({
      protocol,
      number: PROTOCOL[protocol],
      port: PORT,
      fields: { ...withPorts, payload: new Uint8Array(8) },
    })),
    { protocol: "echo", number: icmp, port: echo << 8, fields: { type: echo, sourcePort: 4000 } },
    { protocol: "icmp 200", number: icmp, port: 200 << 8, fields: { type: 200 } },
    ...WITHOUT_PORTS.map((protocol) => ({
      protocol,
      number: PROTOCOL[protocol],
      port: undefined,
      // What stands where ports would be is none.
      fields: withPorts,
    })),
  ];
}

interface Kind {
  kind: string;
  entries: (peer: number, own: Partial<PolicyMapEntry>) => Partial<PolicyMapEntry>[];
  /** Of the side whose policy it is: verdict, match, cookie. */
  expected: [verdict: number, match: number, cookie: number];
}

/** `own`: protocol and, if it has one, port of the packet. */
const KINDS: Kind[] = [
  { kind: "none", entries: () => [], expected: [-133, 0, 0] },
  {
    kind: "another identity's",
    entries: (_peer, own) => [{ identity: 77, ...own }],
    expected: [-133, 0, 0],
  },
  {
    kind: "another protocol's",
    entries: (identity) => [{ identity, protocol: 99 }],
    expected: [-133, 0, 0],
  },
  { kind: "of all", entries: () => [{ cookie: 3 }], expected: [0, 4, 3] },
  {
    kind: "of the identity",
    entries: (identity) => [{ identity, cookie: 3 }],
    expected: [0, 1, 3],
  },
  {
    kind: "of the protocol",
    entries: (_peer, { protocol = 0 }) => [{ protocol, cookie: 3 }],
    expected: [0, 6, 3],
  },
  {
    kind: "of identity and protocol",
    entries: (identity, { protocol = 0 }) => [{ identity, protocol, cookie: 3 }],
    expected: [0, 5, 3],
  },
  {
    kind: "denying the protocol",
    entries: (identity, { protocol = 0 }) => [
      { identity, cookie: 3 },
      { protocol, deny: true, cookie: 4 },
    ],
    expected: [-181, 6, 4],
  },
  {
    kind: "denying another protocol",
    entries: (identity) => [{ cookie: 3 }, { identity, protocol: 99, deny: true, cookie: 4 }],
    expected: [0, 4, 3],
  },
  {
    kind: "denying the identity in a lower tier",
    entries: (identity, { protocol = 0 }) => [
      { protocol, precedence: 0x201, cookie: 3 },
      { identity, deny: true, precedence: 0x1ff, cookie: 4 },
    ],
    expected: [0, 6, 3],
  },
  {
    kind: "passing on",
    entries: (identity) => [{ identity, precedence: 0x200, cookie: 3 }],
    expected: [-133, 0, 0],
  },
];

const PORT_KINDS: Kind[] = [
  {
    kind: "of identity and port",
    entries: (identity, own) => [{ identity, ...own, cookie: 3 }],
    expected: [0, 2, 3],
  },
  { kind: "of the port", entries: (_peer, own) => [{ ...own, cookie: 3 }], expected: [0, 3, 3] },
  {
    kind: "of the next port",
    entries: (_peer, own) => [{ ...own, port: (own.port ?? 0) + 1 }],
    expected: [-133, 0, 0],
  },
  {
    kind: "of a range around the port",
    entries: (_peer, own) => [{ ...own, port: (own.port ?? 0) & 0xff00, portPrefix: 8, cookie: 3 }],
    expected: [0, 3, 3],
  },
  {
    kind: "of a range below the port",
    entries: (_peer, own) => [{ ...own, port: ((own.port ?? 0) & 0xff00) - 0x100, portPrefix: 8 }],
    expected: [-133, 0, 0],
  },
  {
    kind: "of all ports but one denied",
    entries: (_peer, own) => [
      { protocol: own.protocol ?? 0, cookie: 3 },
      { ...own, deny: true, cookie: 4 },
    ],
    expected: [-181, 3, 4],
  },
  {
    kind: "equal but for the prefix",
    entries: (identity, own) => [
      { identity, cookie: 3 },
      { ...own, cookie: 4 },
    ],
    expected: [0, 3, 4],
  },
  {
    kind: "equal in all but the identity",
    entries: (identity, own) => [
      { identity, ...own, cookie: 3 },
      { ...own, cookie: 4 },
    ],
    expected: [0, 2, 3],
  },
];

describe.each(families)("$name", (family) => {
  const { name, a, b } = family;
  describe.each(protocolsOf(name))("$protocol", ({ number, port, fields }) => {
    const frame = (more: Partial<FrameSpec> = {}): Uint8Array =>
      buildFrame({ source: a, destination: b, protocol: number, ...fields, ...more });
    const own = { protocol: number, ...(port === undefined ? {} : { port, portPrefix: 16 }) };
    const kinds = port === undefined ? KINDS : [...KINDS, ...PORT_KINDS];

    // One test for all kinds: setting everything up anew costs more than they do.
    test.each(["ingress", "egress"] as const)("%s, by every kind of entry", (direction) => {
      const [endpoint, peer] = direction === "ingress" ? [2, A] : [1, B];
      for (const { kind, entries, expected } of kinds) {
        const policy = entries(peer, own).map((one) => entry({ direction, ...one }));
        bench.policy(endpoint, policy);
        const run = bench.run("pod_egress", frame());
        const said = verdicts(run).find(([side]) => side === direction);
        expect(said, `an entry ${kind}`).toEqual([direction, ...expected]);
        expect(bench.ct(), `an entry ${kind}`).toHaveLength(expected[0] < 0 ? 0 : 1);
        pods.forget();
      }
    });

    test("an answer needs no rule, the same from the other side first does", () => {
      const back = (): Run => pods.fromB(answer());
      const answer = (): Uint8Array =>
        frame({
          ...{ source: b, destination: a },
          ...(port === PORT ? { sourcePort: PORT, destinationPort: 4000, flags: 18 } : {}),
          ...(fields.type === undefined ? {} : { type: icmpOf(name).echoReply }),
        });
      const onlyOut = [entry({ direction: "egress" })];
      bench.policy(1, onlyOut);
      expect(back().events.at(-1)).toMatchObject({ type: 1, subType: 133 });
      bench.run("pod_egress", frame());
      const isQuery = fields.type !== 200;
      expect(back().result === 7).toBe(isQuery);
      if (isQuery) expect(bench.ct()).toMatchObject([{ protocol: number, packets: [1, 1] }]);
    });

    test("a live connection is cut when its rule goes, on either side", () => {
      if (fields.type === 200) return;
      bench.run("pod_egress", frame());
      const data = frame({ flags: 16 });
      for (const endpoint of [1, 2]) {
        bench.policy(endpoint, []);
        bench.config(false);
        const cut = bench.run("pod_egress", data);
        const direction = endpoint === 1 ? "egress" : "ingress";
        expect(verdicts(cut)).toEqual([[direction, -133, 0, 0]]);
        bench.policy(endpoint, [...ALLOW_ALL, entry({ direction, ...own, deny: true })]);
        bench.config(false);
        expect(verdicts(bench.run("pod_egress", data)).at(-1)?.[1]).toBe(-181);
        bench.policy(endpoint, ALLOW_ALL);
        bench.config(false);
        const again = bench.run("pod_egress", data);
        expect([again.result, verdicts(again)]).toEqual([7, []]);
      }
    });
  });
});

test("IPv6: what an authentication header protects is AH, as in IPv4", () => {
  const spec = { source: "fd00::1", destination: "fd00::2", protocol: PROTOCOL.ah };
  // The next header, TCP to port 80, is not what policy sees.
  const frame = buildFrame({ ...spec, payload: new Uint8Array(28) });
  frame[54] = PROTOCOL.tcp;
  bench.policy(2, [entry({ protocol: PROTOCOL.tcp })]);
  expect(verdicts(bench.run("pod_egress", frame)).at(-1)?.[1]).toBe(-133);
  bench.policy(2, [entry({ protocol: PROTOCOL.ah })]);
  expect(verdicts(bench.run("pod_egress", frame)).at(-1)?.[1]).toBe(0);
});
