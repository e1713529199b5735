/**
 * Plugins per policy with a whole agent: what only watches changes nothing, whatever happens to the
 * proxy; a plugin that is not there denies and says so.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Endpoint } from "../host/endpoint/types.ts";
import { allowPolicy, pause, Rig } from "./rig.ts";

let rig: Rig;
let web: Endpoint;
let friend: Endpoint;
let stranger: Endpoint;

beforeAll(async () => {
  rig = await Rig.start("imker-t-vis");
  web = await rig.pod("web", 8080);
  friend = await rig.pod("friend");
  stranger = await rig.pod("stranger");
});
afterAll(() => rig?.close());

const visibility = (plugin: string, app: string, direction: string): string => `
apiVersion: imker.io/v1alpha1
kind: VisibilityPolicy
metadata: { name: ${app}, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: ${app} } }
  direction: ${direction}
  ports: [{ port: "8080" }]
  plugin: ${plugin}
`;

/** Of the flows of the last second, those that contain the text. */
async function flows(text: string): Promise<string[]> {
  await pause(500);
  const found: string[] = [];
  for await (const line of rig.client.lines("/v1/flows?last=200")) {
    if (line.includes(text)) found.push(line);
  }
  return found;
}

/** Whether a request of the path was seen by the plugin. */
async function isSeen(from: Endpoint, path: string): Promise<boolean> {
  expect(await rig.curl(from, web, path)).toContain("200");
  return (await flows(`${path}"`)).some((line) => line.includes('"verdict":"FORWARDED"'));
}

it("shows what is allowed anyway, and no more", async () => {
  const applied = await rig.apply(visibility("l7-http", "web", "ingress"));
  expect(applied).toMatchObject({ errors: [], warnings: [] });
  expect(await isSeen(friend, "/open")).toBe(true);
  await rig.apply(allowPolicy("web", "web", "friend"));
  expect(await isSeen(friend, "/allowed")).toBe(true);
  expect(await rig.curl(stranger, web, "/denied")).toBe("no answer");
});

it("gives way to a policy with rules of its own", async () => {
  await rig.apply(allowPolicy("web", "web", "friend", "{ path: /ok }"));
  expect(await rig.curl(friend, web, "/no")).toContain("403");
  expect(await rig.curl(friend, web, "/ok")).toContain("200");
  await rig.apply(allowPolicy("web", "web", "friend"));
});

it("lets everything pass while the proxy is away, and sees it again", async () => {
  const probe = await rig.probe(friend, `http://${web.ipv4}:8080/probe`);
  await pause(300);
  const { proxy } = await rig.status();
  process.kill(proxy?.pid ?? 0, "SIGKILL");
  await pause(1500);
  const { longestGapMs, 200: ok, ...others } = await probe.stop();
  expect(ok).toBeGreaterThan(50);
  expect(longestGapMs).toBeLessThan(500);
  // Those the proxy had when it died.
  expect(Object.values(others).reduce((sum, count) => sum + count, 0)).toBeLessThan(5);
  expect(await isSeen(friend, "/again")).toBe(true);
});

it("with a plugin that is not there it passes unseen, with a warning", async () => {
  const { errors, warnings } = await rig.apply(visibility("nobody", "friend", "egress"));
  expect([errors, warnings.map(({ path }) => path)]).toEqual([[], ["spec.plugin"]]);
  expect(await rig.curl(friend, web, "/c")).toContain("200");
});

it("a policy with a plugin that is not there denies with reason 222, also after a restart", async () => {
  const text = allowPolicy("web", "web", "friend", "{}").replace("http: [{}]", "l7proto: nobody");
  const { errors, warnings } = await rig.apply(text);
  expect([errors, warnings.map(({ path }) => path)]).toEqual([
    [],
    ["spec.ingress[0].toPorts[0].rules.l7proto"],
  ]);
  expect(await rig.curl(friend, web, "/d")).toBe("no answer");
  expect((await flows('"drop_reason":222')).length).toBeGreaterThan(0);
  await rig.restartAgent("SIGKILL");
  expect(await rig.curl(friend, web, "/e")).toBe("no answer");
});

it("policies that contradict each other on a new pod keep back that pod alone", async () => {
  const parser = (name: string, plugin: string): string => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name}, namespace: test }
spec:
  endpointSelector: { matchLabels: { ${name}: "yes" } }
  ingress:
    - fromEndpoints: [{}]
      toPorts: [{ ports: [{ port: "7000", protocol: TCP }], rules: { l7proto: ${plugin} } }]
`;
  expect((await rig.apply(parser("one", "first"))).errors).toEqual([]);
  expect((await rig.apply(parser("two", "second"))).errors).toEqual([]);
  const body = { name: "torn", namespace: "test", labels: { one: "yes", two: "yes" } };
  const torn = await rig.client.call<Endpoint>("POST", "/v1/endpoints", body);
  expect(torn.state).toBe("waiting");
  expect((await rig.status()).degraded.join("\n")).toMatch(/endpoint test\/torn: .*first.*second/s);
  expect(await rig.curl(friend, torn, "/")).toBe("no answer");
  // Seen when the policy is applied, it is the policy that is refused.
  const calm = { name: "calm", namespace: "test", labels: { one: "yes" } };
  await rig.client.call("POST", "/v1/endpoints", calm);
  const third = parser("one", "third").replace("name: one", "name: three");
  const files = [{ file: "third.yaml", text: third }];
  const refused = await rig.client.send("POST", "/v1/policies?wait=true", { files });
  expect(refused).toMatchObject({
    status: 422,
    body: {
      errors: [{ file: "third.yaml", message: expect.stringMatching(/test\/one.*test\/three/) }],
    },
  });
  await rig.apply(allowPolicy("web", "web", "friend", "{ path: /later }"));
  expect(await rig.curl(friend, web, "/later")).toContain("200");
});
