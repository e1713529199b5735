import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readPackage } from "../../runtime/contract/package.ts";
import { machineKey, writeKeyPair } from "./key-files.ts";
import {
  generateKey,
  isSignedBy,
  KeyError,
  keyIdOf,
  readPrivateKey,
  readPublicKey,
  signPackage,
} from "./signing.ts";
import { BUILD_MS, packageOf } from "./testing/fixture.ts";

describe("signPackage()", () => {
  it(
    "adds a signature that its key, and no other, made; twice is once",
    async () => {
      const [one, other] = [generateKey(), generateKey()];
      const file = await packageOf({});
      const signed = signPackage(file, readPrivateKey(one.privatePem));
      const { signatures, digest } = readPackage(signed);
      expect(digest).toBe(readPackage(file).digest);
      expect(signatures.map(({ key }) => key)).toEqual([one.id]);
      const [signature] = signatures;
      if (signature === undefined) throw new Error("no signature");
      expect(isSignedBy(digest, signature, readPublicKey(one.publicPem))).toBe(true);
      expect(isSignedBy(digest, signature, readPublicKey(other.publicPem))).toBe(false);
      expect(isSignedBy(digest.replace(/.$/, "x"), signature, readPublicKey(one.publicPem))).toBe(
        false,
      );
      expect(signPackage(signed, readPrivateKey(one.privatePem))).toEqual(signed);
    },
    BUILD_MS,
  );
});

describe("readPublicKey()", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const cases: [string, string, string][] = [
    ["a private key", generateKey().privatePem, "this is a private key"],
    ["no key", "hello", "not a PEM public key"],
    ["an RSA key", rsa.publicKey.export({ type: "spki", format: "pem" }).toString(), "it is rsa"],
    ["a novel", "x".repeat(5000), "over 4096 characters"],
  ];
  it.each(cases)("refuses %s", (_, pem, message) => {
    expect(() => readPublicKey(pem)).toThrow(KeyError);
    expect(() => readPublicKey(pem)).toThrow(message);
  });

  it("names a key by its raw bytes, whichever half is given", () => {
    const { id, privatePem, publicPem } = generateKey();
    expect(keyIdOf(readPublicKey(publicPem))).toBe(id);
    expect(keyIdOf(readPrivateKey(privatePem))).toBe(id);
  });
});

describe("key files", () => {
  it("are private, and never overwritten", () => {
    const folder = mkdtempSync(join(tmpdir(), "imker-keys-"));
    try {
      const { id, privateFile, publicFile } = writeKeyPair(folder, "acme");
      expect(statSync(privateFile).mode & 0o777).toBe(0o600);
      expect(keyIdOf(readPublicKey(readFileSync(publicFile, "utf8")))).toBe(id);
      const before = readFileSync(privateFile, "utf8");
      expect(() => writeKeyPair(folder, "acme")).toThrow(/EEXIST/);
      expect(readFileSync(privateFile, "utf8")).toBe(before);
      expect(keyIdOf(machineKey(folder))).toBe(keyIdOf(machineKey(folder)));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
