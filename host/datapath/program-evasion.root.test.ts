/**
 * Single frames of somebody who wants to get past a policy: connections that outlive their rule,
 * ICMP errors about other people's connections, and ways to the node that are no address of it.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ENDPOINT_HOST } from "./layout.ts";
import { buildFrame, buildPacket, FLAG, type FrameSpec, PROTOCOL } from "./testdata/frame.ts";
import { ALLOW_ALL, entry } from "./testdata/node-client.ts";
import type { ProgramBench, Run } from "./testdata/program-bench.ts";
import {
  A,
  CT_PROXIED,
  families,
  icmpOf,
  OK,
  REDIRECT,
  reasons,
  replyOf,
  synOf,
  TwoPods,
  verdicts,
} from "./testdata/two-pods.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => pods.reset());

const egressAll = entry({ direction: "egress" });

describe.each(families)("$name", (family) => {
  const { name, a, b, world } = family;
  const { icmp, unreachable } = icmpOf(name);

  describe("a connection whose rule has gone", () => {
    const datagram = { protocol: PROTOCOL.udp };

    test.each([
      ["TCP", { flags: FLAG.ack }],
      ["UDP", datagram],
    ])("%s: is cut at what its opener sends; answers are not asked", (_name, fields) => {
      bench.run("pod_egress", synOf(family, { ...fields, flags: FLAG.syn }));
      bench.policy(2, [egressAll]);
      bench.config(false);
      const answer = pods.fromB(replyOf(family, fields));
      expect([answer.result, verdicts(answer)]).toEqual([REDIRECT, []]);
      expect(reasons(bench.run("pod_egress", synOf(family, fields)))).toEqual([133]);
    });
  });

  test("an ICMP error of a pod about a connection that is not its own", () => {
    // A may send nothing. C in the world and B talk; A complains to each of them about it.
    bench.policy(1, []);
    const talk = { protocol: PROTOCOL.udp, sourcePort: 7, destinationPort: 8 };
    pods.fromB(buildFrame({ source: b, destination: world, ...talk }));
    for (const destination of [b, world]) {
      const quoted =
        destination === b
          ? { source: b, destination: world, ...talk }
          : { source: world, destination: b, ...talk, sourcePort: 8, destinationPort: 7 };
      const error = buildFrame({
        ...{ source: a, destination, protocol: icmp, type: unreachable },
        payload: buildPacket({ ...quoted, payload: new Uint8Array(8) }),
      });
      expect(reasons(bench.run("pod_egress", error))).toEqual([133]);
    }
  });

  test("an ICMP error of a pod about its own connection, before and after its rule went", () => {
    const talk = { protocol: PROTOCOL.udp, sourcePort: 7, destinationPort: 8 };
    const quoted = { ...talk, source: world, destination: a, payload: new Uint8Array(8) };
    const error = buildFrame({
      ...{ source: a, destination: world, protocol: icmp, type: unreachable },
      payload: buildPacket(quoted),
    });
    bench.policy(1, [entry({ protocol: PROTOCOL.udp })]);
    bench.run("netdev_ingress", buildFrame({ source: world, destination: a, ...talk }));
    expect(bench.run("pod_egress", error).result).toBe(OK);
    bench.policy(1, []);
    bench.config(false);
    expect(reasons(bench.run("pod_egress", error))).toEqual([133]);
  });
});

test("fragmentation needed passes by itself and opens nothing, unless the agent is told not to", () => {
  const mtu = { protocol: PROTOCOL.icmp, type: 3, payload: new Uint8Array(28) };
  const send = (code: number): Run =>
    bench.run(
      "pod_egress",
      buildFrame({ source: "10.0.0.1", destination: "10.0.0.2", ...mtu, code }),
    );
  bench.policy(1, [entry({ direction: "egress", deny: true })]);
  bench.policy(2, []);
  bench.config(false);
  expect(send(4).result).toBe(REDIRECT);
  expect(reasons(send(1))).toEqual([181]);
  bench.config(false, { fragNeeded: false });
  expect(reasons(send(4))).toEqual([181]);
});

describe("a pod's ways to the node that are no address of it", () => {
  const all = ["224.0.0.1", "255.255.255.255", "ff02::1", "fe80::1"];

  test.each(all)("%s is judged by the node's policy", (destination) => {
    const source = destination.includes(":") ? "fd00::1" : "10.0.0.1";
    const spec = { source, destination, protocol: PROTOCOL.udp, destinationPort: 514 };
    const run = (): Run => bench.run("pod_egress", buildFrame(spec));
    expect(run().result).toBe(OK);
    bench.policy(ENDPOINT_HOST, []);
    bench.config(false, { host: true });
    expect(reasons(run())).toEqual([133]);
    bench.policy(ENDPOINT_HOST, [entry({ identity: A, protocol: PROTOCOL.udp, port: 514 })]);
    bench.config(false, { host: true });
    expect(run().result).toBe(OK);
  });

  test.each([
    ["ff02::1", 10],
    ["fe80::1", 1],
  ])("%s has the identity %i in the pod's own policy", (destination, identity) => {
    const spec = { source: "fd00::1", destination, protocol: PROTOCOL.udp };
    bench.policy(1, [entry({ direction: "egress", identity })]);
    expect(bench.run("pod_egress", buildFrame(spec)).result).toBe(OK);
    bench.policy(1, [entry({ direction: "egress", identity: 11 - identity })]);
    bench.config(false);
    expect(reasons(bench.run("pod_egress", buildFrame(spec)))).toEqual([133]);
  });
});

describe.each(families)(
  "$name, a process of the node with the address of a pod",
  ({ a, world }) => {
    const spec = { source: a, destination: world, sourcePort: 80, destinationPort: 4000 };
    const out = (fields: Partial<FrameSpec> = {}): Run =>
      bench.run("netdev_egress", buildFrame({ ...spec, ...fields }));

    test("is judged as the node; the stack's answers for the proxy are not", () => {
      bench.policy(ENDPOINT_HOST, []);
      bench.config(false, { host: true });
      expect(reasons(out())).toEqual([133]);
      expect(reasons(out({ protocol: PROTOCOL.udp }))).toEqual([133]);
      const opening = { source: world, destination: a, sourcePort: 4000, destinationPort: 80 };
      bench.run("netdev_ingress", buildFrame(opening));
      pods.setFlags(CT_PROXIED);
      expect(out({ flags: FLAG.rst }).result).toBe(OK);
    });
  },
);

describe("loopback addresses on a wire", () => {
  const four = { source: "10.0.0.1", destination: "127.0.0.1" };
  const six = { source: "fd00::1", destination: "::1" };

  test.each([four, six])("from a pod to $destination", (ends) => {
    expect(reasons(bench.run("pod_egress", buildFrame(ends)))).toEqual([134]);
  });

  test.each([
    { source: "192.0.2.1", destination: "127.0.0.1" },
    { source: "127.0.0.1", destination: "10.0.9.1" },
    { source: "2001:db8::1", destination: "::1" },
    { source: "::1", destination: "fd00:9::1" },
  ])("from outside, $source to $destination, once the node has a policy", (ends) => {
    bench.config(false, { host: true });
    expect(bench.run("netdev_ingress", buildFrame(ends)).result).toBe(OK);
    bench.policy(ENDPOINT_HOST, ALLOW_ALL);
    expect(reasons(bench.run("netdev_ingress", buildFrame(ends)))).toEqual([134]);
  });

  test.each([
    { source: "127.0.0.1", destination: "10.0.0.1" },
    { source: "::1", destination: "fd00::1" },
  ])("from outside to a pod, $source", (ends) => {
    expect(reasons(bench.run("netdev_ingress", buildFrame(ends)))).toEqual([134]);
  });
});
