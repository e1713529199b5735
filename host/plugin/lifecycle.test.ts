import { setTimeout } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TrialDifference } from "../../runtime/contract/control.ts";
import type { TrialRequest } from "../admin/plugin-schema.ts";
import { activationRequest, promoteRequest, trialRequest } from "../admin/plugin-schema.ts";
import {
  BUILD_MS,
  type PluginNode,
  packageOf,
  pluginNode,
  proxyStatus,
} from "./testing/fixture.ts";

const NAME = "acme-echo";
const MINUTE_MS = 60_000;

let node: PluginNode;
/** What `compileAll` was asked, and what it answers with. */
let compiled: string[];
let refusal: string | undefined;
let references: string[];
let ruleSets: Record<string, number>;

const options = {
  compileAll: (name: string, digest: string): void => {
    compiled.push(`${name} ${versionOf(digest)}`);
    if (refusal !== undefined) throw new Error(refusal);
  },
  references: () => references,
  ruleSetsOf: (_name: string, policies: readonly string[]) =>
    policies.flatMap((policy) => ruleSets[policy] ?? []),
};

beforeAll(async () => {
  await packageOf({});
}, BUILD_MS);

beforeEach(async () => {
  [compiled, refusal, references, ruleSets] = [[], undefined, [NAME], {}];
  node = pluginNode(options);
  for (const version of ["1.0.0", "1.1.0", "2.0.0"]) {
    node.backend.install(await node.signed(NAME, version), undefined);
  }
});

afterEach(() => node.remove());

const versionOf = (digest: string): string =>
  node.backend.get(NAME).versions.find((one) => one.digest === digest)?.version ?? "?";
const digestOf = (version: string): string => node.backend.version(NAME, version).digest;
const activate = (version: string, more: object = {}): Promise<unknown> =>
  node.backend.activate(NAME, activationRequest.parse({ version, ...more }));
const tryOut = (version: string, more: Partial<TrialRequest> = {}) =>
  node.backend.startTrial(NAME, trialRequest.parse({ kind: "canary", version, ...more }));
const promote = (id: string) => node.backend.promote(NAME, id, promoteRequest.parse({}));
const active = (): string | undefined => node.backend.get(NAME).active?.version;
const service = () => node.view.services([NAME])[0];
const look = async (): Promise<void> => {
  await node.backend.trial(NAME, "0").catch(() => {});
};
const served = (): string[] =>
  node.view
    .versions([NAME])
    .map(({ manifest, drainUntil }) => manifest.version + (drainUntil === undefined ? "" : "…"));

describe("activate", () => {
  it("serves a version once every rule set has a form, and drains the one before", async () => {
    expect(service()).toEqual({ plugin: NAME, active: null });
    expect(served()).toEqual([]);
    await activate("1.0.0");
    expect(service()).toEqual({ plugin: NAME, active: digestOf("1.0.0") });
    await activate("1.1.0", { drainSeconds: 30 });
    expect(compiled).toEqual([`${NAME} 1.0.0`, `${NAME} 1.1.0`]);
    expect(served().sort()).toEqual(["1.0.0…", "1.1.0"]);
    expect(node.view.digestsFor(NAME)).toEqual([digestOf("1.1.0"), digestOf("1.0.0")]);
    expect(node.enforcer.changes).toBe(2);
    expect(node.backend.activation(NAME)).toMatchObject({
      active: { version: "1.1.0" },
      lastKnownGood: { version: "1.0.0" },
      draining: [{ version: "1.0.0", until: new Date(node.clock.now + 30_000).toISOString() }],
      history: [
        { step: "activate", version: "1.0.0" },
        { step: "activate", version: "1.1.0" },
      ],
    });
    await activate("1.1.0");
    expect(node.enforcer.changes).toBe(2);
  });

  const refused: [string, () => unknown, string, RegExp][] = [
    ["an unknown version", () => {}, "9.0.0", /9\.0\.0: 2\.0\.0, 1\.1\.0, 1\.0\.0 installed/],
    ["a lower version", () => {}, "1.0.0", /1\.1\.0 is active and higher/],
    ["a revoked key's version", () => node.backend.keys.revoke("acme"), "2.0.0", /was revoked/],
    ["what a rule does not fit", () => (refusal = "policy shop/web: no"), "2.0.0", /shop\/web/],
    ["anything beside a trial", () => tryOut("1.1.0"), "2.0.0", /1\.1\.0 is on trial/],
  ];
  it.each(refused)("refuses %s and changes nothing", async (what, before, version, message) => {
    await activate(what === "anything beside a trial" ? "1.0.0" : "1.1.0");
    await before();
    const state = node.backend.get(NAME).active;
    await expect(activate(version)).rejects.toThrow(message);
    expect(node.backend.get(NAME).active).toEqual(state);
    expect(node.restart().backend.get(NAME).active).toEqual(state);
  });

  it("allows a downgrade when told, and flags what a revoked key signed", async () => {
    await activate("1.1.0");
    await activate("1.0.0", { allowDowngrade: true });
    node.backend.keys.revoke("acme");
    expect(active()).toBe("1.0.0");
    expect(node.backend.version(NAME, "1.0.0")).toMatchObject({
      uses: ["active"],
      flags: ["key-revoked"],
    });
  });

  it("says when it is decided but not in force", async () => {
    node.enforcer.refuse = "the proxy did not answer";
    await expect(activate("1.0.0")).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining("the proxy did not answer; it is tried again"),
    });
    expect(active()).toBe("1.0.0");
  });
});

describe("rollback", () => {
  it("goes back step by step to what was good", async () => {
    for (const version of ["1.0.0", "1.1.0", "2.0.0"]) await activate(version);
    await node.backend.rollBack(NAME, 5);
    expect(active()).toBe("1.1.0");
    expect(served().sort()).toEqual(["1.0.0…", "1.1.0", "2.0.0…"]);
    await node.backend.rollBack(NAME, 5);
    expect(active()).toBe("1.0.0");
    await expect(node.backend.rollBack(NAME, 5)).rejects.toThrow(/no last known good/);
  });

  it("comes by itself when a new version faults in its first minute", async () => {
    await activate("1.0.0");
    const digest = digestOf("1.1.0");
    const { id } = await tryOut("1.1.0");
    node.proxy.status = proxyStatus({ versions: [{ digest, faults: 40 }] });
    await look();
    await promote(id);
    node.proxy.status = proxyStatus({ versions: [{ digest, faults: 42, connections: 1 }] });
    await look();
    expect(active()).toBe("1.1.0");
    node.proxy.status = proxyStatus({ versions: [{ digest, faults: 43, connections: 1 }] });
    await look();
    expect(active()).toBe("1.0.0");
    expect(node.backend.activation(NAME).history.at(-1)).toMatchObject({
      step: "automatic-rollback",
      reason: "3 faults since it serves",
    });
  });

  it("counts from 0 when the proxy is a new one, and not after the window", async () => {
    await activate("1.0.0");
    const digest = digestOf("1.1.0");
    references = [NAME, `${NAME}@1.1.0`];
    await activate("1.1.0");
    node.proxy.status = proxyStatus({ versions: [{ digest, faults: 40 }] });
    await look();
    node.proxy.status = proxyStatus({ versions: [{ digest, faults: 2 }] });
    node.clock.now += MINUTE_MS;
    await look();
    expect(node.backend.activation(NAME).watchedUntil).toBeNull();
    node.proxy.status = proxyStatus({ versions: [{ digest, faults: 900 }] });
    await look();
    expect(active()).toBe("1.1.0");
  });

  it("holds the first faults against a version that is new to the proxy", async () => {
    await activate("1.0.0");
    await activate("1.1.0", { watchFaults: 2 });
    node.proxy.status = proxyStatus({ versions: [{ digest: digestOf("1.1.0"), faults: 2 }] });
    await look();
    expect(active()).toBe("1.0.0");
  });

  it("comes at once when the proxy cannot run the version", async () => {
    await activate("1.0.0");
    await activate("2.0.0");
    const unavailable = { stage: "compile", message: "no" } as const;
    node.proxy.status = proxyStatus({ versions: [{ digest: digestOf("2.0.0"), unavailable }] });
    await look();
    expect(active()).toBe("1.0.0");
  });
});

describe("trials", () => {
  beforeEach(() => activate("1.0.0"));

  it("put the tried version beside the one that serves; promoting is a change of state", async () => {
    const trial = await tryOut("1.1.0", { percent: 12.5 });
    expect(service()).toMatchObject({
      active: digestOf("1.0.0"),
      trial: { id: trial.id, kind: "canary", digest: digestOf("1.1.0"), share: 125, ruleSets: [] },
    });
    expect(served()).toEqual(["1.0.0", "1.1.0"]);
    compiled = [];
    const promoted = await promote(trial.id);
    expect(compiled).toEqual([]);
    expect(promoted).toMatchObject({ state: "promoted", percent: 12.5, version: "1.1.0" });
    expect(service()).toEqual({ plugin: NAME, active: digestOf("1.1.0") });
    expect(node.backend.activation(NAME).history.at(-1)?.step).toBe("promote");
    await expect(promote(trial.id)).rejects.toThrow(/promoted/);
  });

  it("apply to the policies named, and to none when those are gone", async () => {
    await expect(tryOut("1.1.0", { policies: ["shop/web"] })).rejects.toThrow(/none of shop\/web/);
    ruleSets = { "shop/web": 7 };
    await tryOut("1.1.0", { policies: ["shop/web"] });
    expect(service()?.trial?.ruleSets).toEqual([7]);
    ruleSets = {};
    expect(service()).toEqual({ plugin: NAME, active: digestOf("1.0.0") });
  });

  it("end when told; a canary's connections drain, a shadow has none", async () => {
    const shadow = await tryOut("1.1.0", { kind: "shadow" });
    expect((await node.backend.abort(NAME, shadow.id)).state).toBe("aborted");
    expect(served()).toEqual(["1.0.0"]);
    const canary = await tryOut("1.1.0");
    await node.backend.abort(NAME, canary.id);
    expect(served()).toEqual(["1.1.0…", "1.0.0"]);
    expect(Number(canary.id)).toBeGreaterThan(Number(shadow.id));
    await expect(node.backend.abort(NAME, canary.id)).rejects.toThrow(/aborted/);
    await expect(node.backend.abort(NAME, "99")).rejects.toThrow(/there is none/);
  });

  const stopped = [
    [{ stopped: "faults", faults: 1, lastFault: "fuel" }, "faults: 1, the last: fuel"],
    [{ stopped: "differences", differences: 16, compared: 90 }, "differences: 16 in 90 calls"],
    [{ stopped: "fuel", fuelTried: 9, fuelActive: 2 }, "fuel: 9 against 2 on the same bytes"],
    [{ stopped: "latency", callMicros: 80 }, "latency: 80.0 us a call"],
    [{ faults: 1 }, "faults: 1"],
  ] as const;
  it.each(stopped)("are rolled back by themselves: %j", async (status, reason) => {
    const { id } = await tryOut("1.1.0");
    const sample: TrialDifference = {
      ...{ time: 0, connection: 4, ruleSets: [7], offset: 12 },
      direction: "request",
      what: "verdict",
      ...{ active: "denied", tried: "forwarded" },
    };
    node.proxy.status = proxyStatus({ trials: [{ id, ...status, samples: [sample] }] });
    const ended = await node.backend.trial(NAME, id);
    expect(ended).toMatchObject({ state: "rolled-back", reason: expect.stringContaining(reason) });
    expect(ended.result?.samples).toHaveLength(1);
    expect(service()).toEqual({ plugin: NAME, active: digestOf("1.0.0") });
    node = node.restart();
    expect(node.backend.trials(NAME)).toEqual([ended]);
  });

  it("go on after a restart of the agent", async () => {
    const { id } = await tryOut("2.0.0", { kind: "shadow", percent: 50 });
    const before = service();
    node = node.restart();
    expect(service()).toEqual(before);
    node.start();
    node.proxy.status = proxyStatus({ trials: [{ id, stopped: "faults", faults: 2 }] });
    const state = () => node.backend.trials(NAME)[0]?.state;
    for (let i = 0; i < 100 && state() === "running"; i++) await setTimeout(50);
    expect(state()).toBe("rolled-back");
  });

  const refused: [string, () => unknown, Partial<TrialRequest> & { version: string }, RegExp][] = [
    ["the active version", () => {}, { version: "1.0.0" }, /it is active/],
    ["a second one", () => tryOut("1.1.0"), { version: "2.0.0" }, /1\.1\.0 is on trial/],
    ["what is not installed", () => {}, { version: "9.9.9" }, /installed/],
    ["a step back", () => activate("2.0.0"), { version: "1.1.0" }, /2\.0\.0 is active and higher/],
    ["an untrusted one", () => node.backend.keys.remove("acme"), { version: "1.1.0" }, /no key/],
  ];
  it.each(refused)("refuse %s", async (_, before, { version }, message) => {
    await before();
    await expect(tryOut(version)).rejects.toThrow(message);
  });
});

describe("draining and removing", () => {
  it("lets a version go when it has no connection, at the latest after its time", async () => {
    for (const version of ["1.0.0", "1.1.0", "2.0.0"]) await activate(version);
    const old = { digest: digestOf("1.0.0"), connections: 1 };
    const newer = { digest: digestOf("1.1.0"), connections: 0 };
    node.proxy.status = proxyStatus({ versions: [old, newer] });
    const changes = node.enforcer.changes;
    await look();
    expect(served().sort()).toEqual(["1.0.0…", "2.0.0"]);
    expect(node.enforcer.changes).toBe(changes + 1);
    node.proxy.status = undefined;
    node.clock.now += 10 * MINUTE_MS;
    await look();
    expect(served()).toHaveLength(2);
    node.clock.now += MINUTE_MS;
    await look();
    expect(served()).toEqual(["2.0.0"]);
  });

  it("removes a version that nothing uses", async () => {
    references = [NAME, `${NAME}@1.1.0`];
    await activate("1.0.0");
    await activate("2.0.0");
    await expect(node.backend.remove(NAME, "2.0.0")).rejects.toThrow(/it is active/);
    await expect(node.backend.remove(NAME, "1.0.0")).rejects.toThrow(/draining, last known good/);
    await expect(node.backend.remove(NAME, "1.1.0")).rejects.toThrow(/pinned by a policy/);
    references = [NAME];
    await node.backend.remove(NAME, "1.1.0");
    await expect(node.backend.remove(NAME, "1.1.0")).rejects.toThrow(/2\.0\.0, 1\.0\.0 installed/);
    node = node.restart();
    expect(node.backend.get(NAME).versions.map(({ version }) => version)).toEqual([
      "2.0.0",
      "1.0.0",
    ]);
  });
});
