/**
 * The ways a connection can take through the proxy where its two ends are close to each other: both
 * on this node with rules of both, a pod and the node itself, a pod and itself; and a client port
 * used again at once. Real agent, real proxy, curl.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CurlRequest } from "../host/demo/request.ts";
import { WORLD } from "../host/demo/scenario.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { Rig } from "./rig.ts";

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress:
    - fromEndpoints: [{}]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ path: "/(both|in)" }] } }]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: client, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { app: web } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ path: "/(both|out)" }] } }]
    - toEndpoints: [{ matchLabels: { app: named } }]
      toPorts: [{ ports: [{ port: http, protocol: TCP }] }]
    - toEntities: [host]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ path: "/node" }] } }]
`;

describe.each(["node", "deno"] as const)("connections of one node, proxy on %s", (runtime) => {
  let rig: Rig;
  let web: Endpoint;
  let client: Endpoint;

  beforeAll(async () => {
    rig = await Rig.start("imker-t-paths", runtime);
    web = await rig.pod("web", 8080);
    client = await rig.pod("client");
    await rig.stage.startServer(rig.stage.nodeNetns, 8080, "node");
    expect((await rig.apply(POLICY)).errors).toEqual([]);
  }, 60_000);
  afterAll(() => rig?.close());

  const ask = (from: Endpoint, path: string, more: Partial<CurlRequest> = {}): Promise<string> =>
    rig.curl(from, web, path, more);

  it.each([
    ["allowed by both ends", "/both", "200"],
    ["denied by the client's egress", "/in", "403"],
    ["denied by the server's ingress", "/out", "403"],
  ])("L7 rules of both ends: %s", async (_name, path, expected) => {
    expect(await ask(client, path)).toBe(expected);
    expect(await ask(client, path, { address: web.ipv6 })).toBe(expected);
  });

  it.each([
    ["IPv4", WORLD.node4],
    ["IPv6", WORLD.node6],
  ])("the node's own %s address: allowed and denied", async (_family, address) => {
    expect(await ask(client, "/node", { address })).toBe("200");
    expect(await ask(client, "/else", { address })).toBe("403");
  });

  it("egress by the name that the other pod gives its port", async () => {
    const ports = [{ name: "http", port: 8080 }];
    const body = { name: "named", namespace: "test", labels: { app: "named" }, ports };
    const named = await rig.client.call<Endpoint>("POST", "/v1/endpoints", body);
    for (const port of [8080, 8081]) await rig.stage.startServer(named.netns, port, "named");
    expect(await rig.curl(client, named, "/", { port: 8080 })).toBe("200");
    expect(await rig.curl(client, named, "/", { port: 8081 })).toBe("no answer");
  });

  it("the server on the node sees the pod's address", async () => {
    const request = { address: WORLD.node4, askSource: true };
    expect(await ask(client, "/node", request)).toContain(client.ipv4);
  });

  it("a pod always reaches itself", async () => {
    expect(await ask(web, "/none-allows-it")).toBe("200");
    expect(await ask(web, "/none-allows-it", { address: web.ipv6 })).toBe("200");
  });

  it("a client port is used again at once", async () => {
    const paths = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? "/both" : "/out"));
    const script = [join(import.meta.dirname, "same-port.ts"), web.ipv4, "8080", "41000", ...paths];
    const argv = [`--net=${client.netns}`, process.execPath, ...script];
    const { stdout } = await promisify(execFile)("nsenter", argv);
    expect(JSON.parse(stdout)).toEqual(paths.map((path) => (path === "/both" ? "200" : "403")));
  });
});
