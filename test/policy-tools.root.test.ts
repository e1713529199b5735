/**
 * What people ask of a running agent before and after they change policies: why a connection is
 * denied, what a change would do, which policies an endpoint has. Every answer is held against what
 * then happens.
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EndpointPolicy } from "../host/admin/explain-types.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import type { DiffView } from "../host/policy/explain/diff-types.ts";
import type { TraceView } from "../host/policy/explain/types.ts";
import { allowPolicy, Rig } from "./rig.ts";

const START_MS = 60_000;
let rig: Rig;
let web: Endpoint;
let friend: Endpoint;
let stranger: Endpoint;

beforeAll(async () => {
  rig = await Rig.start("imker-t-tools");
  web = await rig.pod("web", 8080);
  friend = await rig.pod("friend");
  stranger = await rig.pod("stranger");
}, START_MS);
afterAll(() => rig?.close());

interface Answer {
  code: number;
  out: string;
  err: string;
}

/** The command line itself, as people use it. */
function imker(...args: string[]): Promise<Answer> {
  return new Promise((resolve) => {
    const all = ["--socket", rig.stage.socket, ...args];
    execFile("./imker", all, (error, out, err) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err });
    });
  });
}

function file(name: string, text: string): string {
  const path = join(rig.stage.runDir, name);
  writeFileSync(path, text);
  return path;
}

const trace = (source: string, ...more: string[]): Promise<Answer> =>
  imker("policy", "trace", "--src", source, "--dst", "test/web", ...more);

describe("a trace", () => {
  it("of nodes without policies says that nothing is enforced, as the kernel has it", async () => {
    const { code, out, err } = await trace("test/stranger", "--dport", "8080", "--json");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const view = JSON.parse(out) as TraceView;
    expect(view.verdict).toBe("allowed");
    expect(view.source).toMatchObject({ endpoint: stranger.id, identity: stranger.identity });
    const [port] = view.ports;
    expect(port?.egress.installed?.entry).toEqual(port?.egress.entry);
    expect(port?.ingress.installed?.entry).toEqual(port?.ingress.entry);
    expect(await rig.curl(stranger, web, "/")).toBe("200");
  });

  it("says beforehand what a policy does, and afterwards what it did", async () => {
    const path = file("web.yaml", allowPolicy("web", "web", "friend", '{ path: "/ok" }'));
    const before = await trace("test/stranger", "--dport", "8080", "-f", path, "--exit-code");
    expect(before.code).toBe(4);
    expect(before.out).toContain("ingress of test/web: DENIED by default (133)");
    expect(before.out).toContain("CiliumNetworkPolicy test/web (turns default deny on)");
    expect(await rig.curl(stranger, web, "/ok")).toBe("200");

    const applied = await imker("policy", "apply", "-f", path, "--wait");
    expect(applied.code).toBe(0);
    const after = await trace("test/stranger", "--dport", "8080", "--exit-code");
    expect(after).toMatchObject({ code: 4, err: "" });
    expect(after.out).toContain("policy map: no entry, as in the kernel");
    expect(await rig.curl(stranger, web, "/ok")).toBe("no answer");

    const allowed = await trace(friend.ipv4, "--dport", "8080/TCP", "--exit-code");
    expect(allowed).toMatchObject({ code: 0, err: "" });
    expect(allowed.out).toContain("ALLOWED at L3/L4, handed over for L7");
    expect(allowed.out).toContain("L7 by l7-http: a request passes if one matches: path=/ok");
    expect(await rig.curl(friend, web, "/ok")).toBe("200");
    expect(await rig.curl(friend, web, "/other")).toBe("403");
    for (const line of [...before.out.split("\n"), ...allowed.out.split("\n")]) {
      expect(line.length).toBeLessThanOrEqual(120);
    }
  });

  it.each([
    ["ns:test,app=friend", "redirect"],
    ["ns:elsewhere,app=friend", "drop"],
    ["192.0.2.7", "drop"],
    // The node may always reach its own pods.
    ["reserved:host", "allow"],
  ])("from %s", async (source, verdict) => {
    const { out, err } = await trace(source, "--dport", "8080", "--json");
    expect(err).toBe("");
    expect((JSON.parse(out) as TraceView).ports[0]?.ingress.verdict).toBe(verdict);
  });

  it("denies what has rules of a plugin that is not there, as the kernel does", async () => {
    const text = allowPolicy("later", "web", "stranger", "{}");
    const path = file("later.yaml", text.replace("http: [{}]", "l7proto: nowhere"));
    expect((await imker("policy", "apply", "-f", path, "--wait")).code).toBe(0);
    const { code, out, err } = await trace("test/stranger", "--dport", "8080", "--exit-code");
    expect({ code, err }).toEqual({ code: 4, err: "" });
    expect(out).toContain("DENIED: no plugin serves its L7 rules (222)");
    expect(await rig.curl(stranger, web, "/ok")).toBe("no answer");
    const node = ["--src", "reserved:host", "--dst", "test/web", "--dport", "8080", "--exit-code"];
    expect(await imker("policy", "trace", ...node)).toMatchObject({ code: 0, err: "" });
    expect((await imker("policy", "delete", "test/later", "--wait")).code).toBe(0);
  });

  it("refuses what it cannot read", async () => {
    expect(await trace("test/nobody", "--dport", "80")).toMatchObject({ code: 1, out: "" });
    expect(await trace("test/friend", "--dport", "80/XYZ")).toMatchObject({ code: 1, out: "" });
    const broken = file("broken.yaml", "kind: CiliumNetworkPolicy");
    const refused = await trace("test/friend", "--dport", "80", "-f", broken);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("broken.yaml");
  });
});

describe("a diff", () => {
  it("tells of flows that were seen and of endpoints, and then it is so", async () => {
    expect(await rig.curl(friend, web, "/ok")).toBe("200");
    const path = file("strangers.yaml", allowPolicy("web", "web", "stranger"));
    const { code, out } = await imker("policy", "diff", "-f", path, "--json", "--exit-code");
    expect(code).toBe(4);
    const view = JSON.parse(out) as DiffView;
    const flow = view.flows.find(({ source }) => source === "test/friend");
    expect(flow).toMatchObject({
      ...{ change: "denied", direction: "ingress", destination: "test/web", port: "8080/TCP" },
      ...{ before: { verdict: "redirect" }, after: { verdict: "drop" } },
    });
    const [endpoint] = view.endpoints;
    expect(endpoint?.name).toBe("test/web");
    const changes = endpoint?.changes.map(({ change, peers, ports }) => [change, peers, ports]);
    expect(changes).toEqual([
      ["denied", ["ns:test,app=friend"], ["8080/TCP"]],
      ["allowed", ["ns:test,app=stranger"], ["8080/TCP"]],
    ]);
    expect(await rig.curl(friend, web, "/ok")).toBe("200");

    const text = await imker("policy", "diff", "-f", path);
    expect(text.code).toBe(0);
    expect(text.out).toContain("- newly denied: ");
    expect(text.out).toContain("+ newly allowed: ingress from ns:test,app=stranger on 8080/TCP");

    await imker("policy", "apply", "-f", path, "--wait");
    expect(await rig.curl(friend, web, "/ok")).toBe("no answer");
    expect(await rig.curl(stranger, web, "/")).toBe("200");
    const again = await imker("policy", "diff", "-f", path, "--exit-code");
    expect(again).toMatchObject({ code: 0, out: "no difference for any of 3 endpoints\n" });
  });

  it("of a policy that goes", async () => {
    const one = "CiliumNetworkPolicy/test/web";
    const { out } = await imker("policy", "diff", "--delete", one);
    expect(out).toContain("default deny of ingress goes off");
    expect(await imker("policy", "diff", "--delete", "NetworkPolicy/test/none")).toMatchObject({
      code: 1,
      out: "",
    });
    expect((await imker("policy", "diff")).code).toBe(1);
  });
});

it("an endpoint shows the policies that are for it", async () => {
  const { out } = await imker("endpoint", "get", "test/web", "--json");
  const { policy } = JSON.parse(out) as { policy: EndpointPolicy };
  expect(policy.ingress).toEqual({
    isEnforced: true,
    policies: ["CiliumNetworkPolicy test/web"],
  });
  expect(policy.egress).toEqual({ isEnforced: false, policies: [] });
  expect(policy.entriesInstalled).toBe(policy.entriesWanted);
  const text = await imker("endpoint", "get", "test/web");
  expect(text.out).toContain("ingress    default deny\n           CiliumNetworkPolicy test/web\n");
  expect(text.out).toContain("egress     open: no default deny\n");
});
