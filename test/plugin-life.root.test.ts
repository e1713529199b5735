/**
 * A plugin's life on a node under load, over the admin API: signed, installed, shadowed, canaried,
 * rolled back by itself, promoted, drained, rolled back by hand, across an agent restart. Real
 * agent, proxy, sockets; every connection counts.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  ActivationView,
  InstanceView,
  PluginView,
  TrialView,
  VersionView,
} from "../host/admin/plugin-schema.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { ROOT } from "../runtime/testkit/built-plugin.ts";
import { type LoadResult, startLoad, Vendor } from "./plugin-node.ts";
import { allowPolicy, pause, Rig } from "./rig.ts";

const HTTP = join(ROOT, "plugins/l7-http");
const WASM = "application/wasm";
const BUILD_MS = 240_000;
const SETTLE_MS = 15_000;

describe.each(["node", "deno"] as const)("a plugin's life, proxy on %s", (runtime) => {
  const vendor = new Vendor();
  let rig: Rig;
  let web: Endpoint;
  let friend: Endpoint;

  beforeAll(async () => {
    rig = await Rig.start("imker-t-life", runtime);
    web = await rig.pod("web", 8080);
    friend = await rig.pod("friend");
    await rig.apply(allowPolicy("web", "web", "friend", "{ path: /ok }"));
  }, BUILD_MS);
  afterAll(async () => {
    await rig?.close();
    vendor.close();
  });

  const path = (...parts: string[]): string => ["/v1/plugins/l7-http", ...parts].join("/");
  const install = (file: Uint8Array): Promise<VersionView> =>
    rig.client.upload<VersionView>("/v1/plugins", file, WASM);
  const activation = (): Promise<ActivationView> => rig.client.call("GET", path("activation"));
  const trial = (id: string): Promise<TrialView> => rig.client.call("GET", path("trials", id));
  const instances = (): Promise<InstanceView[]> => rig.client.call("GET", "/v1/plugins/instances");

  async function until<T>(ask: () => Promise<T>, is: (value: T) => boolean): Promise<T> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const value = await ask();
      if (is(value)) return value;
      if (performance.now() > deadline) throw new Error(`still ${JSON.stringify(value)}`);
      await pause(50);
    }
  }

  /** Load on `path` while `change` happens. */
  async function underLoad(path: string, change: () => Promise<void>): Promise<LoadResult> {
    const load = await startLoad(friend, web, { path, clients: 8, requests: 20 });
    await pause(200);
    await change();
    await pause(200);
    return load.stop();
  }

  it(
    "refuses what nobody it trusts has signed, and keeps what it installs",
    async () => {
      const file = await vendor.package(HTTP, "1.0.0");
      await expect(install(file)).rejects.toThrow(/l7-http 1\.0\.0/);
      const key = { name: "vendor", publicKey: vendor.publicKey, plugins: ["l7-*"] };
      await rig.client.call("POST", "/v1/keys", key);
      const one = await install(file);
      expect(one).toMatchObject({ name: "l7-http", version: "1.0.0", uses: [] });
      expect((await install(file)).digest).toBe(one.digest);
    },
    BUILD_MS,
  );

  it("an equal version in the shadow makes no difference, and costs no connection", async () => {
    let shadow: TrialView | undefined;
    const result = await underLoad("/ok", async () => {
      const request = { kind: "shadow", version: "1.0.0" };
      const { id } = await rig.client.call<TrialView>("POST", path("trials"), request);
      shadow = await until(
        () => trial(id),
        ({ result: seen }) => (seen?.compared ?? 0) > 200,
      );
      await rig.client.call("DELETE", path("trials", id));
    });
    expect(result).toMatchObject({ lost: 0, reasons: {} });
    expect(Object.keys(result.statuses)).toEqual(["200"]);
    expect(shadow).toMatchObject({ state: "running", result: { differences: 0, faults: 0 } });
    expect(shadow?.result?.fuelTried).toBe(shadow?.result?.fuelActive);
  });

  it(
    "a version that answers otherwise is rolled back by itself, with the place",
    async () => {
      const change = { file: "answers.ts", from: "Access denied", to: "Access DENIED" };
      await install(await vendor.changed(HTTP, "1.1.0", change));
      let canary: TrialView | undefined;
      const result = await underLoad("/secret", async () => {
        const request = {
          kind: "canary",
          version: "1.1.0",
          percent: 50,
          stopOn: { differences: 3 },
        };
        const { id } = await rig.client.call<TrialView>("POST", path("trials"), request);
        canary = await until(
          () => trial(id),
          ({ state }) => state !== "running",
        );
      });
      expect(result).toMatchObject({ lost: 0, reasons: {} });
      expect(Object.keys(result.statuses)).toEqual(["403"]);
      expect(canary).toMatchObject({
        state: "rolled-back",
        reason: expect.stringMatching(/differ/),
      });
      expect(canary?.result?.samples[0]).toMatchObject({ what: "bytes" });
      expect((await activation()).active?.version).toBe("0.1.0");
    },
    BUILD_MS,
  );

  it("promotes under load without losing a connection; the old version drains", async () => {
    let milliseconds = 0;
    const result = await underLoad("/ok", async () => {
      const began = performance.now();
      await rig.client.call("PUT", path("activation"), { version: "1.0.0" });
      milliseconds = performance.now() - began;
    });
    expect(result).toMatchObject({ lost: 0, reasons: {} });
    expect(Object.keys(result.statuses)).toEqual(["200"]);
    // Measured by the benchmark; here only that it is no matter of seconds.
    expect(milliseconds).toBeLessThan(2_000);
    expect(await activation()).toMatchObject({
      active: { version: "1.0.0" },
      lastKnownGood: { version: "0.1.0" },
    });
    const left = await until(instances, (all) => all.every((one) => one.version === "1.0.0"));
    expect(left.length).toBeGreaterThan(0);
  });

  it("closes at the deadline what still uses the old version", async () => {
    const load = await startLoad(friend, web, { path: "/ok", clients: 2, requests: 100_000 });
    await pause(300);
    await rig.client.call("PUT", path("activation"), {
      ...{ version: "0.1.0", allowDowngrade: true, drainSeconds: 1 },
    });
    await until(instances, (all) => all.every((one) => one.version === "0.1.0"));
    const { lost, reasons } = await load.stop();
    expect([lost, Object.keys(reasons)]).toEqual([2, ["ended by the other side"]]);
  });

  it("everything survives the agent: versions, activation, trial", async () => {
    const request = { kind: "shadow", version: "1.0.0" };
    const { id } = await rig.client.call<TrialView>("POST", path("trials"), request);
    await rig.restartAgent("SIGKILL");
    expect((await activation()).active?.version).toBe("0.1.0");
    const plugin = await rig.client.call<PluginView>("GET", path());
    expect(plugin.versions.map(({ version }) => version)).toEqual(["1.1.0", "1.0.0", "0.1.0"]);
    const load = await startLoad(friend, web, { path: "/ok", clients: 2, requests: 10 });
    await until(
      () => trial(id),
      ({ result }) => (result?.compared ?? 0) > 10,
    );
    await load.stop();
    await rig.client.call("POST", path("trials", id, "promote"), {});
    expect((await activation()).active?.version).toBe("1.0.0");
    await rig.client.call("POST", path("rollback"), {});
    expect((await activation()).active?.version).toBe("0.1.0");
  });
});
