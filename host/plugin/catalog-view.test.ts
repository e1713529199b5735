import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { activationRequest, trialRequest } from "../admin/plugin-schema.ts";
import { BUILD_MS, type PluginNode, packageOf, pluginNode } from "./testing/fixture.ts";

const NAME = "acme-http";
let node: PluginNode;

beforeAll(async () => {
  await packageOf({});
}, BUILD_MS);

beforeEach(async () => {
  node = pluginNode({ references: () => [`${NAME}@1.0.0`] });
  for (const version of ["1.0.0", "2.0.0", "3.0.0"]) {
    node.backend.install(await node.signed(NAME, version), undefined);
  }
  await node.backend.activate(NAME, activationRequest.parse({ version: "2.0.0" }));
});

afterEach(() => node.remove());

const digest = (version: string): string => node.backend.version(NAME, version).digest;

describe("a pinned reference", () => {
  it("is a service of its own that no activation and no trial touches", async () => {
    const request = trialRequest.parse({ kind: "shadow", version: "3.0.0" });
    await node.backend.startTrial(NAME, request);
    const references = [NAME, `${NAME}@1.0.0`, `${NAME}@9.0.0`, "unknown"];
    expect(node.view.services(references)).toMatchObject([
      { plugin: NAME, active: digest("2.0.0"), trial: { digest: digest("3.0.0") } },
      { plugin: `${NAME}@1.0.0`, active: digest("1.0.0") },
      { plugin: `${NAME}@9.0.0`, active: null },
      { plugin: "unknown", active: null },
    ]);
    expect(node.view.digestsFor(NAME)).toEqual([digest("2.0.0"), digest("3.0.0")]);
    expect(node.view.digestsFor(`${NAME}@1.0.0`)).toEqual([digest("1.0.0")]);
    expect(node.view.digestsFor(`${NAME}@9.0.0`)).toEqual([]);
    expect(node.view.digestsFor("unknown")).toEqual([]);
    expect(node.view.versions(references).map((one) => one.manifest.version)).toEqual([
      "2.0.0",
      "3.0.0",
      "1.0.0",
    ]);
    expect(node.view.versions([])).toEqual([]);
    expect(node.view.manifestFor(NAME)?.version).toBe("2.0.0");
    expect(node.view.manifestFor(`${NAME}@1.0.0`)?.version).toBe("1.0.0");
    expect(node.view.manifestFor("unknown")).toBeUndefined();
  });
});

describe("compile()", () => {
  const compile = (rules: { key: string; value: string }[][]) =>
    node.view.compile(digest("1.0.0"), rules, () => 5);

  it("makes a form of the rules with the version's own code", () => {
    const form = compile([[{ key: "path", value: "/a.*" }], []]);
    expect(form).toMatchObject({ digest: digest("1.0.0"), patterns: [] });
    expect(form.compiled).not.toBe("");
    expect(compile([[{ key: "path", value: "/b" }]]).compiled).not.toBe(form.compiled);
  });

  it("says what the plugin does not take", () => {
    expect(() => compile([[{ key: "query", value: "x" }]])).toThrow(/rule field "query": plugin/);
    expect(() => compile([[{ key: "constructor", value: "x" }]])).toThrow(/"constructor"/);
    expect(() => compile([[{ key: "path", value: "(" }]])).toThrow();
    expect(() => node.view.compile(`sha256:${"0".repeat(64)}`, [], () => 1)).toThrow(
      /not installed/,
    );
  });
});
