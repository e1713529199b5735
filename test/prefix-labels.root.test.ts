/**
 * What addresses are to policies because of what is said of them: in a group, in a group inside
 * another one's prefix, the Kubernetes API here or outside. On real traffic with a real agent, IPv4
 * and IPv6, while it changes; and the labels in what people see of it.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { IdentityView } from "../host/admin/types.ts";
import { WORLD } from "../host/demo/scenario.ts";
import { type Family, PolicyWorld } from "./policy-world.ts";

const START_MS = 60_000;
const WAIT = { timeout: 10_000, interval: 50 };
const FAMILIES: readonly Family[] = [4, 6];
const PARTNER = ["192.0.2.10/32", "'2001:db8:2::10/128'"];
const EXCEPTED = ["192.0.2.66/32", "'2001:db8:2::66/128'"];
const WHOLE = ["192.0.2.0/24", "'2001:db8:2::/64'"];

let world: PolicyWorld;
beforeAll(async () => {
  world = await PolicyWorld.start();
}, START_MS);
afterEach(async () => {
  world.forgetState("api");
  await world.withdrawAll();
});
afterAll(() => world?.close());

function group(name: string, prefixes: readonly string[], labels = "{}"): string {
  return (
    `apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: ${name}, labels: ${labels}}\n` +
    `spec: {externalCIDRs: [${prefixes.join(", ")}]}\n---\n`
  );
}

function cnp(app: string, spec: string, name = app): string {
  return (
    `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n` +
    `metadata: {name: ${name}, namespace: test}\n` +
    `spec: {endpointSelector: {matchLabels: {app: ${app}}}, ${spec}}\n---\n`
  );
}

/** The questions of policy-world.ts whose answer is another than expected. */
async function wrong(yes: readonly string[], no: readonly string[]): Promise<string[]> {
  const questions = [
    ...yes.map((text) => ({ text, expected: true })),
    ...no.map((text) => ({ text, expected: false })),
  ].flatMap((one) => FAMILIES.map((family) => ({ ...one, family })));
  const found = await Promise.all(
    questions.map(async ({ text, expected, family }) => {
      const reaches = await world.reaches(text, family, expected);
      return reaches === expected ? [] : [`IPv${family}: ${text}: ${reaches ? "yes" : "no"}`];
    }),
  );
  return found.flat();
}

async function imker(...args: string[]): Promise<string> {
  const all = ["--socket", world.rig.stage.socket, ...args];
  return (await promisify(execFile)("./imker", all)).stdout;
}

async function labelSets(): Promise<string[]> {
  const views = await world.rig.client.call<IdentityView[]>("GET", "/v1/identities");
  return views.map(({ labels }) => labels.join(" "));
}

/** What the last flow that was forwarded to the address says of it. */
async function lastEnd(address: string): Promise<unknown> {
  const flows = (await imker("observe", "--last", "200", "-o", "json"))
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line).flow)
    .filter((flow) => flow?.IP?.destination === address && flow.verdict === "FORWARDED");
  return flows.at(-1)?.destination;
}

const TO_WORLD = "client > world tcp/8080";
const TO_EXCEPTED = "client > excepted tcp/8080";

describe("a group", () => {
  it("is known by its labels, except where a rule says so", async () => {
    const all = [...WHOLE, ...PARTNER];
    await world.apply(
      group("site", all, "{site: a}") +
        cnp(
          "client",
          "egress: [{toCIDRSet: [{cidrGroupSelector: {matchLabels: {site: a}}, " +
            `except: [${EXCEPTED}]}]}]`,
        ),
    );
    expect(await wrong([TO_WORLD], [TO_EXCEPTED, "client > node tcp/8080"])).toEqual([]);
    const own = "cidrgroup:io.cilium.policy.cidrgroupname/site cidrgroup:site=a";
    expect(await labelSets()).toEqual(
      expect.arrayContaining([
        `${own} reserved:world-ipv4`,
        `${own} reserved:world-ipv6`,
        `cidr:192.0.2.66/32 ${own} reserved:world-ipv4`,
        `cidr:2001-db8-2--66/128 ${own} reserved:world-ipv6`,
      ]),
    );
    expect(await lastEnd(WORLD.partner6)).toMatchObject({
      labels: [...own.split(" "), "reserved:world-ipv6"],
    });
    await world.apply(group("site", all, "{site: b}"));
    expect(await wrong([], [TO_WORLD, TO_EXCEPTED])).toEqual([]);
    await world.apply(group("other", PARTNER, "{site: a}"));
    expect(await wrong([TO_WORLD], [TO_EXCEPTED])).toEqual([]);
  });

  it("inside another group's prefix and inside a policy's is in all of them", async () => {
    await world.apply(
      group("wide", WHOLE) +
        group("narrow", PARTNER) +
        cnp("client", "egress: [{toCIDRSet: [{cidrGroupRef: wide}]}]") +
        cnp("web", `egress: [{toCIDR: [${WHOLE}]}]`),
    );
    const fromWeb = ["web > world tcp/8080", "web > excepted tcp/8080"];
    expect(await wrong([TO_WORLD, TO_EXCEPTED, ...fromWeb], [])).toEqual([]);
    await world.apply(cnp("client", "egressDeny: [{toCIDRSet: [{cidrGroupRef: narrow}]}]", "deny"));
    expect(await wrong([TO_EXCEPTED, ...fromWeb], [TO_WORLD])).toEqual([]);
    await world.apply(group("narrow", EXCEPTED));
    expect(await wrong([TO_WORLD, ...fromWeb], [TO_EXCEPTED])).toEqual([]);
  });

  it("cuts a connection that lives when the address leaves it", async () => {
    await world.apply(
      group("partners", [...PARTNER, ...EXCEPTED]) +
        cnp("client", "egress: [{toCIDRSet: [{cidrGroupRef: partners}]}]"),
    );
    const open = (to: string) =>
      Promise.all(FAMILIES.map((family) => world.connect("client", to, 8080, family)));
    const [leaving, staying] = [await open("world"), await open("excepted")];
    await world.apply(group("partners", EXCEPTED));
    expect(await Promise.all(leaving.map((alive) => alive(false)))).toEqual([false, false]);
    expect(await Promise.all(staying.map((alive) => alive(true)))).toEqual([true, true]);
  });

  it("of 20,000 prefixes is one row, and is in force in time", async () => {
    const many = Array.from({ length: 19_998 }, (_, index) => {
      return `10.${128 + (index >> 14)}.${(index >> 6) & 255}.${(index & 63) * 4}/30`;
    });
    await world.apply(cnp("client", "egress: [{toCIDRSet: [{cidrGroupRef: many}]}]"));
    const started = performance.now();
    await world.apply(group("many", [...many, ...PARTNER]));
    const appliedMs = performance.now() - started;
    expect(await wrong([TO_WORLD], [TO_EXCEPTED])).toEqual([]);
    const client = await world.rig.client.call<{ id: number }>(
      "GET",
      "/v1/endpoints/test%2Fclient",
    );
    const rows = await world.rig.client.call<unknown[]>("GET", `/v1/bpf/policy/${client.id}`);
    expect(rows.length).toBeLessThan(20);
    const again = performance.now();
    await world.apply(group("many", [...many, ...EXCEPTED]));
    const changedMs = performance.now() - again;
    expect(await wrong([TO_EXCEPTED], [TO_WORLD])).toEqual([]);
    console.log(`20,000 prefixes: in force after ${appliedMs} ms, changed after ${changedMs} ms`);
    expect(Math.max(appliedMs, changedMs)).toBeLessThan(10_000);
  });
});

const api = (...addresses: string[]): void =>
  world.state(
    "api",
    "{apiVersion: v1, kind: Endpoints, metadata: {name: kubernetes, namespace: default}, " +
      `subsets: [{addresses: [${addresses.map((ip) => `{ip: '${ip}'}`).join(", ")}]}]}\n`,
  );

describe("the Kubernetes API", () => {
  it("on this node is the host with one label more", async () => {
    await world.apply(
      cnp("client", "egress: [{toEntities: [kube-apiserver]}]") +
        cnp("web", "egress: [{toEntities: [host]}]") +
        cnp("web", "egressDeny: [{toEntities: [remote-node]}]", "no-nodes"),
    );
    const [byApi, byHost] = ["client > node tcp/8080", "web > node tcp/8080"];
    expect(await wrong([byHost], [byApi])).toEqual([]);
    api(WORLD.node4, WORLD.node6);
    await vi.waitFor(async () => expect(await wrong([byApi, byHost], [])).toEqual([]), WAIT);
    expect(await labelSets()).toContain("reserved:host reserved:kube-apiserver");
    const traced = ["policy", "trace", "--src", "test/client", "--dport", "8080/TCP"];
    for (const dst of [WORLD.node4, "reserved:host", "identity:1"]) {
      expect(await imker(...traced, "--dst", dst)).toMatch(/: ALLOWED/);
    }
    expect(await lastEnd(WORLD.node4)).toMatchObject({
      ...{ identity: 1, labels: ["reserved:host", "reserved:kube-apiserver"] },
    });
    // A deny of either name is for it.
    await world.apply(cnp("web", "egressDeny: [{toEntities: [kube-apiserver]}]", "no-api"));
    expect(await wrong([byApi], [byHost])).toEqual([]);
    world.forgetState("api");
    await vi.waitFor(async () => expect(await wrong([byHost], [byApi])).toEqual([]), WAIT);
  });

  it("outside is an address of the world with one label more, and in its groups", async () => {
    await world.apply(
      group("wide", WHOLE) +
        cnp("client", "egress: [{toEntities: [kube-apiserver]}]") +
        cnp("web", "egress: [{toCIDRSet: [{cidrGroupRef: wide}]}]"),
    );
    const fromWeb = ["web > world tcp/8080", "web > excepted tcp/8080"];
    expect(await wrong(fromWeb, [TO_WORLD, TO_EXCEPTED])).toEqual([]);
    api(WORLD.partner4, WORLD.partner6);
    await vi.waitFor(
      async () => expect(await wrong([TO_WORLD, ...fromWeb], [TO_EXCEPTED])).toEqual([]),
      WAIT,
    );
    const wide = "cidrgroup:io.cilium.policy.cidrgroupname/wide reserved:kube-apiserver";
    expect(await labelSets()).toEqual(
      expect.arrayContaining([
        `cidr:192.0.2.10/32 ${wide} reserved:world-ipv4`,
        `cidr:2001-db8-2--10/128 ${wide} reserved:world-ipv6`,
      ]),
    );
    world.forgetState("api");
    await vi.waitFor(async () => expect(await wrong(fromWeb, [TO_WORLD])).toEqual([]), WAIT);
  });
});
