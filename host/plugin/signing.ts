/**
 * Signatures of packages: ed25519 keys, their ids, signing a file and checking a signature. What is
 * signed is a package's digest (runtime/contract/package.ts).
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import {
  addSignature,
  digestOf,
  type PackageSignature,
  readPackage,
  signedBytes,
} from "../../runtime/contract/package.ts";

/** Longest PEM text that is looked at; an ed25519 key has about 120 characters. */
const PEM_CHARACTERS_MAX = 4096;
/** The raw key is what ends the SubjectPublicKeyInfo of an ed25519 key (RFC 8410). */
const RAW_KEY_BYTES = 32;

export interface KeyPair {
  /** `sha256:<hex>` of the raw public key. */
  id: string;
  /** PKCS #8, PEM. */
  privatePem: string;
  /** SubjectPublicKeyInfo, PEM. */
  publicPem: string;
}

/** The text is no ed25519 key. */
export class KeyError extends Error {
  override readonly name = "KeyError";
  readonly status = 422;
}

export function generateKey(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    id: keyIdOf(publicKey),
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** Throws KeyError; a private key is refused, so that none is handed out by mistake. */
export function readPublicKey(pem: string): KeyObject {
  if (/PRIVATE KEY/.test(pem)) {
    throw new KeyError("Cannot read the public key: this is a private key, keep it to yourself");
  }
  return ed25519("public", () => createPublicKey(checkedLength(pem)));
}

/** Throws KeyError. */
export function readPrivateKey(pem: string): KeyObject {
  return ed25519("private", () => createPrivateKey(checkedLength(pem)));
}

/** The key's id, `sha256:<hex>` of its 32 raw bytes; of a private key, that of its public half. */
export function keyIdOf(key: KeyObject): string {
  const half = key.type === "private" ? createPublicKey(key) : key;
  return digestOf(half.export({ type: "spki", format: "der" }).subarray(-RAW_KEY_BYTES));
}

/** The package with a signature of this key. Throws PackageError when it is no package. */
export function signPackage(file: Uint8Array, privateKey: KeyObject): Uint8Array {
  const bytes = signedBytes(readPackage(file).digest);
  const signature = sign(null, bytes, privateKey).toString("base64");
  return addSignature(file, { key: keyIdOf(privateKey), signature });
}

/** Whether `publicKey` made this signature of the package with this digest. */
export function isSignedBy(
  digest: string,
  signature: PackageSignature,
  publicKey: KeyObject,
): boolean {
  return verify(null, signedBytes(digest), publicKey, Buffer.from(signature.signature, "base64"));
}

function checkedLength(pem: string): string {
  if (pem.length <= PEM_CHARACTERS_MAX) return pem;
  throw new KeyError(`Cannot read the key: over ${PEM_CHARACTERS_MAX} characters`);
}

function ed25519(half: "public" | "private", read: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch (cause) {
    if (cause instanceof KeyError) throw cause;
    throw new KeyError(`Cannot read the ${half} key: not a PEM ${half} key`, { cause });
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw new KeyError(
    `Cannot read the ${half} key: it is ${key.asymmetricKeyType}, expected ed25519`,
  );
}
