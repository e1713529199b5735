/**
 * The package of a plugin: one file, a component that carries its manifest, its vectors and its
 * signatures in custom sections (docs/decisions/0008). Reads bytes that nobody has vouched for yet:
 * everything is bounded, and what is wrong is said with its offset.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { type Manifest, manifestSchema } from "./manifest.ts";

/** Of a whole file. */
export const PACKAGE_BYTES_MAX = 8 << 20;
const MANIFEST_BYTES_MAX = 64 << 10;
const VECTORS_BYTES_MAX = 1 << 20;
const SIGNATURES_MAX = 8;

/** "\0asm", version 13, layer 1: a component (Component Model, Binary.md). */
const PREAMBLE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 13, 0, 1, 0);
const CUSTOM = 0;
const SECTION = {
  manifest: "imker:manifest",
  vectors: "imker:vectors",
  signature: "imker:signature",
} as const;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

const signatureSchema = z
  .object({
    /** `sha256:<hex>` of the raw ed25519 public key (32 bytes). */
    key: z.string().regex(DIGEST),
    /** Base64 of the 64 bytes of an ed25519 signature (RFC 8032) over `signedBytes(digest)`. */
    signature: z.string().regex(/^[A-Za-z0-9+/]{86}==$/),
  })
  .strict();

export type PackageSignature = z.infer<typeof signatureSchema>;

export interface PluginPackage {
  /** `sha256:<hex>` of `body`. */
  digest: string;
  manifest: Manifest;
  /** Text of the vectors (runtime/testkit/vectors.ts); empty when there are none. */
  vectors: string;
  signatures: PackageSignature[];
  /** The file without its signatures: a component. */
  body: Uint8Array;
}

/** The bytes are no package. The message says what is wrong and at which offset. */
export class PackageError extends Error {
  override readonly name = "PackageError";
}

/** What an ed25519 key signs for a package. */
export function signedBytes(digest: string): Uint8Array {
  return new TextEncoder().encode(`imker:l7 plugin 1\n${digest}\n`);
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Takes a package apart; looks at no code. Throws PackageError. */
export function readPackage(bytes: Uint8Array): PluginPackage {
  if (bytes.length > PACKAGE_BYTES_MAX) {
    throw new PackageError(
      `Cannot read the package: ${bytes.length} bytes, at most ${PACKAGE_BYTES_MAX}`,
    );
  }
  if (bytes.length < PREAMBLE.length || PREAMBLE.some((byte, i) => bytes[i] !== byte)) {
    throw new PackageError("Cannot read the package: not a WebAssembly component");
  }
  let manifest: Manifest | undefined;
  let vectors: string | undefined;
  let bodyEnd = bytes.length;
  const signatures: PackageSignature[] = [];
  for (const { offset, name, payload } of sections(bytes)) {
    if (name !== SECTION.signature && signatures.length > 0) {
      throw wrong(offset, "something follows a signature");
    }
    if (name === SECTION.manifest) {
      if (manifest !== undefined) throw wrong(offset, "a second manifest");
      manifest = readManifest(offset, payload);
    } else if (name === SECTION.vectors) {
      if (vectors !== undefined) throw wrong(offset, "a second section of vectors");
      vectors = text(offset, payload, VECTORS_BYTES_MAX);
    } else if (name === SECTION.signature) {
      if (signatures.length === 0) bodyEnd = offset;
      if (signatures.length === SIGNATURES_MAX) throw wrong(offset, "too many signatures");
      signatures.push(readSignature(offset, payload));
    }
  }
  if (manifest === undefined) {
    throw new PackageError(
      `Cannot read the package: it has no section ${SECTION.manifest}; build it with 'imker plugin build'`,
    );
  }
  const body = bytes.subarray(0, bodyEnd);
  return { digest: digestOf(body), manifest, vectors: vectors ?? "", signatures, body };
}

/** A component with its manifest and vectors; not signed. */
export function assemblePackage(
  component: Uint8Array,
  manifest: Manifest,
  vectors: string,
): Uint8Array {
  const added = [section(SECTION.manifest, JSON.stringify(manifest))];
  if (vectors !== "") added.push(section(SECTION.vectors, vectors));
  return Buffer.concat([component, ...added]);
}

/** The file with one more signature; one that it has already is not added again. */
export function addSignature(file: Uint8Array, signature: PackageSignature): Uint8Array {
  const { signatures } = readPackage(file);
  if (signatures.some(({ key }) => key === signature.key)) return file;
  return Buffer.concat([file, section(SECTION.signature, JSON.stringify(signature))]);
}

interface Section {
  /** Of the section's id. */
  offset: number;
  /** Empty unless it is a custom section. */
  name: string;
  payload: Uint8Array;
}

/** All sections in order, also those of no interest: what stands before a signature is signed. */
function* sections(bytes: Uint8Array): Generator<Section> {
  let at = PREAMBLE.length;
  while (at < bytes.length) {
    const offset = at;
    const id = bytes[at++];
    const size = leb128(bytes, at, bytes.length);
    const end = size.next + size.value;
    if (end > bytes.length) throw wrong(offset, "a section longer than the file");
    if (id === CUSTOM) {
      const length = leb128(bytes, size.next, end);
      const nameEnd = length.next + length.value;
      if (nameEnd > end) throw wrong(offset, "a section's name is longer than the section");
      const name = Buffer.from(bytes.subarray(length.next, nameEnd)).toString("latin1");
      yield { offset, name, payload: bytes.subarray(nameEnd, end) };
    } else yield { offset, name: "", payload: bytes.subarray(size.next, end) };
    at = end;
  }
}

/** Unsigned LEB128 of at most 32 bits. */
function leb128(bytes: Uint8Array, from: number, end: number): { value: number; next: number } {
  let value = 0;
  for (let i = 0; i < 5 && from + i < end; i++) {
    const byte = bytes[from + i] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, next: from + i + 1 };
  }
  throw wrong(from, "a length that is none");
}

function readManifest(offset: number, payload: Uint8Array): Manifest {
  const parsed = manifestSchema.safeParse(json(offset, payload, MANIFEST_BYTES_MAX));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw wrong(offset, `manifest: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
}

function readSignature(offset: number, payload: Uint8Array): PackageSignature {
  const parsed = signatureSchema.safeParse(json(offset, payload, 1024));
  if (parsed.success) return parsed.data;
  throw wrong(offset, "a signature that is none");
}

function json(offset: number, payload: Uint8Array, bytesMax: number): unknown {
  try {
    return JSON.parse(text(offset, payload, bytesMax));
  } catch (cause) {
    if (cause instanceof PackageError) throw cause;
    throw wrong(offset, "not JSON", cause);
  }
}

function text(offset: number, payload: Uint8Array, bytesMax: number): string {
  if (payload.length > bytesMax) {
    throw wrong(offset, `${payload.length} bytes, at most ${bytesMax}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(payload);
  } catch (cause) {
    throw wrong(offset, "not UTF-8", cause);
  }
}

function wrong(offset: number, what: string, cause?: unknown): PackageError {
  return new PackageError(`Cannot read the package at byte ${offset}: ${what}`, { cause });
}

function section(name: string, payload: string): Uint8Array {
  const content = Buffer.from(payload);
  const title = Buffer.from(name);
  const body = Buffer.concat([unsignedLeb128(title.length), title, content]);
  return Buffer.concat([Uint8Array.of(CUSTOM), unsignedLeb128(body.length), body]);
}

function unsignedLeb128(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  do {
    const low = left % 128;
    left = Math.floor(left / 128);
    bytes.push(left === 0 ? low : low | 0x80);
  } while (left > 0);
  return Uint8Array.from(bytes);
}
