import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PluginPackage, readPackage } from "../../runtime/contract/package.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { UntrustedError } from "./errors.ts";
import { generateKey, readPrivateKey, signPackage } from "./signing.ts";
import { BUILD_MS, packageOf } from "./testing/fixture.ts";
import { Trust } from "./trust.ts";

const NOW = 1_000_000;
const keys = { acme: generateKey(), other: generateKey() };
const sign = (file: Uint8Array, name: keyof typeof keys): Uint8Array =>
  signPackage(file, readPrivateKey(keys[name].privatePem));

let plain: Uint8Array;
let store: SqliteStore;
let trust: Trust;

beforeAll(async () => {
  plain = await packageOf({ name: "acme-echo", version: "1.0.0" });
}, BUILD_MS);

beforeEach(() => {
  store = new SqliteStore(":memory:");
  trust = new Trust(store);
});

const add = (name: keyof typeof keys, terms: object = {}): void => {
  const key = { name, publicPem: keys[name].publicPem, plugins: ["acme-*"] };
  trust.add({ ...key, ...terms }, NOW);
};

function verdict(file: Uint8Array | PluginPackage): string {
  try {
    return trust.check(file instanceof Uint8Array ? readPackage(file) : file, NOW).name;
  } catch (error) {
    if (!(error instanceof UntrustedError)) throw error;
    return error.reason;
  }
}

describe("Trust.check()", () => {
  const cases: [string, object | undefined, string][] = [
    ["a trusted key", {}, "acme"],
    ["a key for exactly this name", { plugins: ["acme-echo"] }, "acme"],
    ["a key within its time", { notBefore: NOW, notAfter: NOW }, "acme"],
    ["a key for other names", { plugins: ["acme", "acme-ech", "echo*"] }, "other-name"],
    ["a key before its time", { notBefore: NOW + 1 }, "not-yet-valid"],
    ["a key after its time", { notAfter: NOW - 1 }, "no-longer-valid"],
    ["a key nobody trusts", undefined, "unknown-key"],
  ];
  it.each(cases)("says of %s", (_, terms, expected) => {
    if (terms !== undefined) add("acme", terms);
    expect(verdict(sign(plain, "acme"))).toBe(expected);
    expect(verdict(plain)).toBe("unsigned");
  });

  it("takes any one key that vouches, and otherwise tells of the nearest", () => {
    add("acme", { notAfter: NOW - 1 });
    const both = sign(sign(plain, "other"), "acme");
    expect(verdict(both)).toBe("no-longer-valid");
    add("other");
    expect(verdict(both)).toBe("other");
  });

  it("finds a signature that was made for something else", async () => {
    add("acme");
    const [signature] = readPackage(sign(plain, "acme")).signatures;
    if (signature === undefined) throw new Error("no signature");
    const changed = readPackage(await packageOf({ name: "acme-echo", version: "1.0.1" }));
    expect(verdict({ ...changed, signatures: [signature] })).toBe("bad-signature");
  });

  it("refuses a revoked key, also after a restart, and forgets a removed one", () => {
    add("acme");
    expect(trust.revoke("acme", NOW).revokedAt).toBe(NOW);
    expect(trust.revoke("acme", NOW + 5).revokedAt).toBe(NOW);
    trust = new Trust(store);
    expect(verdict(sign(plain, "acme"))).toBe("revoked");
    trust.remove("acme");
    expect(verdict(sign(plain, "acme"))).toBe("unknown-key");
  });
});

describe("Trust.add()", () => {
  it("takes the same again, but no other terms, key or name for it", () => {
    add("acme");
    expect(() => add("acme")).not.toThrow();
    expect(() => add("acme", { plugins: ["*"] })).toThrow(/remove that first/);
    expect(() => add("acme", { publicPem: keys.other.publicPem })).toThrow(/another key has/);
    expect(() => add("acme", { name: "again" })).toThrow(/trusted as "acme"/);
    expect(() => add("acme", { name: "machine" })).toThrow(/the agent's own key/);
  });

  it("keeps hands off the machine's key", () => {
    trust.setMachineKey(readPrivateKey(keys.other.privatePem), ["l7-http"], NOW);
    expect(() => trust.revoke("machine", NOW)).toThrow(/machine\.pem/);
    expect(() => trust.remove("machine")).toThrow(/machine\.pem/);
    expect(() => trust.remove("nobody")).toThrow(/unknown/);
    expect(verdict(sign(plain, "other"))).toBe("other-name");
  });
});
