import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  addSignature,
  assemblePackage,
  PACKAGE_BYTES_MAX,
  readPackage,
} from "../../runtime/contract/package.ts";
import { guestComponent } from "../../runtime/isolate/guest-fixture.ts";
import { generateKey, readPrivateKey, signPackage } from "./signing.ts";
import {
  BUILD_MS,
  digestOfPackage,
  type PluginNode,
  packageOf,
  pluginNode,
  ship,
} from "./testing/fixture.ts";

let node: PluginNode;
let good: Uint8Array;

beforeAll(async () => {
  await packageOf({});
}, BUILD_MS);

beforeEach(async () => {
  node = pluginNode();
  good = await node.signed("acme-echo", "1.0.0");
});

afterEach(() => node.remove());

const packages = (): string[] => readdirSync(join(node.folder, "plugins"));

function outcome(file: Uint8Array, granted?: ("emit" | "log" | "match")[]): string {
  try {
    return node.backend.install(file, granted).created ? "created" : "there already";
  } catch (error) {
    const { status, message } = error as Error & { status?: number };
    return `${status} ${message}`;
  }
}

async function withSchema(schema: Record<string, unknown>): Promise<Uint8Array> {
  const rules = { ...readPackage(good).manifest.rules, schema };
  return packageOf({ name: "acme-echo", version: "1.0.0", rules });
}

/** A custom section named `imker:vectors`, appended. */
function withExtraSection(file: Uint8Array): Uint8Array {
  const name = Buffer.from("imker:vectors");
  const payload = Buffer.concat([Buffer.of(name.length), name, Buffer.from("x")]);
  return Buffer.concat([file, Buffer.of(0, payload.length), payload]);
}

describe("InstalledVersions.install()", () => {
  it("keeps the file under its digest, once, also over a restart", () => {
    expect(outcome(good)).toBe("created");
    expect(outcome(good)).toBe("there already");
    const digest = digestOfPackage(good);
    expect(packages()).toEqual([`${digest.replace(":", "-")}.wasm`]);
    node = node.restart();
    expect(outcome(good)).toBe("there already");
    expect(Buffer.from(node.backend.package("acme-echo", "1.0.0"))).toEqual(Buffer.from(good));
    expect(node.backend.version("acme-echo", "1.0.0")).toMatchObject({
      digest,
      signedBy: { name: "acme", id: node.acme.id },
      uploadedAt: "2026-06-01T00:00:00.000Z",
      granted: ["emit", "log", "match"],
      flags: [],
      uses: [],
    });
  });

  const mallory = readPrivateKey(generateKey().privatePem);
  const hostile: [string, (file: Uint8Array) => Uint8Array | Promise<Uint8Array>, RegExp][] = [
    ["nothing", () => new Uint8Array(), /^422 .*not a WebAssembly component/],
    ["text", () => Buffer.from("#!/bin/sh\n"), /^422 .*not a WebAssembly component/],
    ["a core module", () => Buffer.from("\0asm\x01\0\0\0", "latin1"), /^422 .*not a WebAssembly/],
    ["a truncated file", (file) => file.subarray(0, file.length - 9), /^422 .*at byte \d+/],
    ["half a file", (file) => file.subarray(0, file.length >> 1), /^422 Cannot read the package/],
    ["a huge file", () => new Uint8Array(PACKAGE_BYTES_MAX + 1), /^413 .*at most 8388608/],
    ["a section after the signature", withExtraSection, /^422 .*something follows a signature/],
    ["no signature", () => packageOf({ name: "acme-echo" }), /^422 .*it has no signature/],
    [
      "somebody else's signature",
      async () => signPackage(await packageOf({ name: "acme-echo" }), mallory),
      /^422 .*no key here is sha256:/,
    ],
    [
      "the signature of another package",
      async (file) => {
        const [signature] = readPackage(file).signatures;
        if (signature === undefined) throw new Error("no signature");
        return addSignature(await packageOf({ name: "acme-echo" }), signature);
      },
      /^422 .*did not make its signature: the file was changed or forged/,
    ],
    [
      "a flipped bit in the code",
      (file) => file.map((byte, at) => (at === 5000 ? byte ^ 1 : byte)),
      /^422 /,
    ],
    [
      "a name that the key may not sign",
      async () => signPackage(await packageOf({ name: "l7-http" }), node.acme.key),
      /^422 .*key "acme" may sign acme-\* only/,
    ],
    [
      "an import that the manifest does not declare",
      async () => {
        const file = await packageOf({ name: "acme-echo", capabilities: ["log", "match"] });
        return signPackage(file, node.acme.key);
      },
      /^422 .*emit.*not a capability of the manifest/,
    ],
    [
      "a rule schema that nothing can be checked with",
      async () => signPackage(await withSchema({ if: {} }), node.acme.key),
      /^422 Cannot install acme-echo 1\.0\.0: Cannot read the rule schema/,
    ],
    [
      "a rule schema so deep that no state could be written with it",
      () => withSchema(JSON.parse(`${'{"a":'.repeat(9000)}1${"}".repeat(9000)}`)),
      /^422 .*rules\.schema: nested too deep/, // before anybody looks for its signature
    ],
    [
      "code that cannot start",
      async () => {
        const component = await guestComponent({ fields: '(data (i32.const 100000000) "x")' });
        const { manifest } = readPackage(good);
        return signPackage(assemblePackage(component, manifest, ""), node.acme.key);
      },
      /^422 Cannot install acme-echo 1\.0\.0: .*out of bounds/,
    ],
    [
      "code that is no plugin of this world",
      () => {
        const nothing = Buffer.of(0, 0x61, 0x73, 0x6d, 13, 0, 1, 0);
        const { manifest } = readPackage(good);
        return signPackage(assemblePackage(nothing, manifest, ""), node.acme.key);
      },
      /^422 Cannot install acme-echo 1\.0\.0: Cannot prepare plugin/,
    ],
  ];
  it.each(hostile)("refuses %s and keeps nothing of it", async (_, make, expected) => {
    expect(outcome(await make(good))).toMatch(expected);
    expect(packages()).toEqual([]);
    expect(node.backend.list()).toEqual([]);
  });

  it("refuses what was not granted, and other bytes under a version", async () => {
    expect(outcome(good, ["emit", "log"])).toMatch(/^422 .*it wants match, granted is emit, log/);
    expect(outcome(good)).toBe("created");
    const other = await packageOf({ name: "acme-echo", version: "1.0.0", description: "other" });
    expect(outcome(signPackage(other, node.acme.key))).toMatch(/^409 .*with other content/);
    expect(packages()).toHaveLength(1);
  });

  it("takes another key's signature for what is there, and mends a damaged file", () => {
    outcome(good);
    const second = generateKey();
    const request = { name: "second", publicKey: second.publicPem, plugins: ["acme-echo"] };
    node.backend.keys.trust(request);
    node.backend.keys.revoke("acme");
    expect(node.backend.version("acme-echo", "1.0.0").flags).toEqual(["key-revoked"]);
    expect(outcome(good)).toMatch(/^422 .*key "acme" was revoked/);
    const twice = signPackage(good, readPrivateKey(second.privatePem));
    expect(outcome(twice)).toBe("there already");
    const version = node.backend.version("acme-echo", "1.0.0");
    expect(version).toMatchObject({ flags: [], signedBy: { name: "second" } });
    const [file = ""] = packages();
    writeFileSync(join(node.folder, "plugins", file), "not any more");
    expect(node.backend.version("acme-echo", "1.0.0").flags).toEqual(["damaged"]);
    expect(outcome(twice)).toBe("there already");
    expect(node.backend.version("acme-echo", "1.0.0").flags).toEqual([]);
  });

  it("sweeps up what a crash left behind", () => {
    outcome(good);
    const folder = join(node.folder, "plugins");
    writeFileSync(join(folder, "sha256-abc.wasm.part"), "x");
    writeFileSync(join(folder, `sha256-${"0".repeat(64)}.wasm`), "x");
    node = node.restart();
    expect(packages()).toHaveLength(1);
  });
});

describe("installShipped()", () => {
  it("signs and activates what ships; other bytes take the place of the same version", async () => {
    ship(node.folder, "l7-http", await packageOf({}));
    node = node.restart();
    const first = node.backend.get("l7-http");
    expect(first.versions).toMatchObject([{ signedBy: { name: "machine" }, uses: ["active"] }]);
    ship(node.folder, "l7-http", await packageOf({ description: "worked on" }));
    node = node.restart();
    const second = node.backend.get("l7-http");
    expect(second.versions).toHaveLength(1);
    expect(second.active).toEqual({
      version: "0.1.0",
      digest: digestOfPackage(await packageOf({ description: "worked on" })),
    });
    expect(second.lastKnownGood?.digest).toBe(first.active?.digest);
    expect(packages()).toHaveLength(2);
    const machine = readFileSync(join(node.folder, "keys", "machine.pem"), "utf8");
    node = node.restart();
    expect(readFileSync(join(node.folder, "keys", "machine.pem"), "utf8")).toBe(machine);
  });

  it("lets an operator's choice stand when the tree brings a higher version", async () => {
    ship(node.folder, "l7-http", await packageOf({}));
    node = node.restart();
    ship(node.folder, "l7-http", await packageOf({ version: "0.2.0" }));
    node = node.restart();
    expect(node.backend.get("l7-http").active?.version).toBe("0.2.0");
    await node.backend.activate("l7-http", {
      ...{ version: "0.1.0", allowDowngrade: true, drainSeconds: 1 },
      ...{ watchSeconds: 1, watchFaults: 1 },
    });
    node = node.restart();
    expect(node.backend.get("l7-http").active?.version).toBe("0.1.0");
  });

  it("says which file cannot be used", () => {
    ship(node.folder, "broken", Buffer.from("no"));
    expect(() => node.restart()).toThrow(/shipped\/broken\/plugin\.wasm.*not a WebAssembly/);
  });
});
