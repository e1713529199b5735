/** A look-up from outside finds the entry that decided in the kernel. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { findPolicy } from "./policy-map.ts";
import { PROTOCOL } from "./testdata/frame.ts";
import { entry } from "./testdata/node-client.ts";
import type { ProgramBench } from "./testdata/program-bench.ts";
import { A, families, synOf, TwoPods, verdicts } from "./testdata/two-pods.ts";
import type { PolicyMapEntry, PolicyQuestion } from "./types.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => pods.reset());

const [family] = families;
const ask = (question: Partial<PolicyQuestion> = {}): PolicyMapEntry | undefined =>
  findPolicy(bench.native, bench.map("policies"), 2, {
    ...{ identity: A, direction: "ingress", protocol: PROTOCOL.tcp, port: 80 },
    ...question,
  });
const tcp = (fields: Partial<PolicyMapEntry>): PolicyMapEntry =>
  entry({ protocol: PROTOCOL.tcp, ...fields });

test.each<[string, PolicyMapEntry[], number]>([
  ["the only one", [entry({ cookie: 1 })], 1],
  ["a port", [entry({ cookie: 2 }), tcp({ port: 80, cookie: 1 })], 1],
  ["a range", [tcp({ port: 64, portPrefix: 10, cookie: 1 }), tcp({ port: 81, cookie: 2 })], 1],
  [
    "the higher precedence",
    [tcp({ identity: A, port: 80, cookie: 2 }), entry({ deny: true, cookie: 1 })],
    1,
  ],
  ["the longer prefix", [entry({ identity: A, cookie: 2 }), tcp({ cookie: 1 })], 1],
  ["the identity's", [tcp({ identity: A, cookie: 1 }), tcp({ cookie: 2 })], 1],
])("finds %s", (_name, policy, cookie) => {
  bench.policy(2, policy);
  expect(ask()).toEqual(policy.find((one) => one.cookie === cookie));
  expect(verdicts(bench.run("pod_egress", synOf(family, {}))).at(-1)?.[3]).toBe(cookie);
});

test("finds nothing where nothing matches, or no policy is", () => {
  bench.policy(2, [tcp({ port: 81 })]);
  expect(ask()).toBeUndefined();
  expect(ask({ port: 81, direction: "egress" })).toBeUndefined();
  expect(ask({ port: 81 })).toMatchObject({ port: 81 });
  // Without a port only what names none.
  expect(ask({ port: undefined })).toBeUndefined();
  bench.native.mapDelete(bench.map("policies"), new Uint8Array([2, 0, 0, 0]));
  expect(ask({ port: 81 })).toBeUndefined();
});
