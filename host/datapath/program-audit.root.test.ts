/** Single frames: audit mode, of one endpoint and of all, and what it does not let pass. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PROTOCOL } from "./testdata/frame.ts";
import { entry } from "./testdata/node-client.ts";
import type { ProgramBench, Run } from "./testdata/program-bench.ts";
import {
  A,
  endpointA,
  endpointB,
  families,
  REDIRECT,
  reasons,
  replyOf,
  synOf,
  TwoPods,
  VERDICT,
} from "./testdata/two-pods.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => pods.reset());

const told = ({ events }: Run): unknown[] =>
  events
    .filter(({ type }) => type === VERDICT)
    .map(({ direction, verdict, reason, cookie, audited }) => ({
      ...{ direction, verdict, match: reason, cookie, audited },
    }));
const allowed = { verdict: 0, match: 4, cookie: 0, audited: false };

describe.each(families)("$name", (family) => {
  const syn = (): Run => bench.run("pod_egress", synOf(family, {}));

  test("of one endpoint: its denials pass with their match, others' do not", () => {
    bench.endpoint({ ...endpointB, audit: true }, false);
    bench.policy(2, []);
    const run = syn();
    expect([run.result, told(run)]).toEqual([
      REDIRECT,
      [
        { direction: "egress", ...allowed },
        { direction: "ingress", verdict: 0, match: 0, cookie: 0, audited: true },
      ],
    ]);
    expect(pods.fromB(replyOf(family, {})).result).toBe(REDIRECT);
    bench.policy(1, []);
    bench.config(false);
    expect(reasons(syn())).toEqual([133]);
  });

  test("of one endpoint: in its egress direction too", () => {
    bench.endpoint({ ...endpointA, audit: true }, true);
    bench.policy(1, [entry({ direction: "egress" }), entry({ direction: "egress", deny: true })]);
    const [egress] = told(syn());
    expect(egress).toMatchObject({ direction: "egress", verdict: 0, audited: true, match: 4 });
  });

  test("of all endpoints", () => {
    bench.config(false, { audit: true });
    bench.policy(1, []);
    bench.policy(2, [entry({ identity: A, deny: true, cookie: 5 })]);
    expect(told(syn())).toEqual([
      { direction: "egress", verdict: 0, match: 0, cookie: 0, audited: true },
      { direction: "ingress", verdict: 0, match: 1, cookie: 5, audited: true },
    ]);
  });

  test("ends, and with it the connections that it let pass", () => {
    bench.config(false, { audit: true });
    bench.policy(2, []);
    syn();
    bench.config(false);
    expect(reasons(bench.run("pod_egress", synOf(family, { flags: 16 })))).toEqual([133]);
  });

  test("an untracked fragment passes", () => {
    bench.config(false, { audit: true });
    bench.policy(2, []);
    const fragment = { offset: 1480, more: false, id: 5 };
    const run = bench.run("pod_egress", synOf(family, { protocol: PROTOCOL.udp, fragment }));
    expect([run.result, told(run)[1]]).toMatchObject([REDIRECT, { audited: true }]);
  });

  test.each<[string, () => void, number]>([
    [
      "an endpoint that has no policy yet",
      () => bench.native.mapDelete(bench.map("policies"), new Uint8Array([2, 0, 0, 0])),
      203,
    ],
    [
      "what a plugin must see that is not there",
      () => bench.policy(2, [entry({ redirect: true, ruleSet: 0 })]),
      222,
    ],
    ["what the proxy must see", () => bench.policy(2, [entry({ redirect: true })]), 220],
  ])("does not let pass %s", (_name, prepare, reason) => {
    bench.config(false, { audit: true });
    prepare();
    expect(reasons(syn())).toEqual([reason]);
  });
});
