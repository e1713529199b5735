/**
 * The keys this node trusts: whose signature counts, for which plugins, and for how long. Kept in
 * the store. A revoked key stays listed, so that what it signed is refused by name.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import type { PackageSignature, PluginPackage } from "../../runtime/contract/package.ts";
import type { Store } from "../store/store.ts";
import { type DistrustReason, PluginRequestError, UntrustedError } from "./errors.ts";
import { isSignedBy, keyIdOf, readPublicKey } from "./signing.ts";

/** Name of the key with which the agent signs the plugins of its own tree. */
export const MACHINE_KEY = "machine";
const KEYS_MAX = 256;
const PREFIX = "plugin-keys/";

export interface TrustedKey {
  name: string;
  /** `sha256:<hex>` of the raw public key. */
  id: string;
  /** SubjectPublicKeyInfo, PEM. */
  publicPem: string;
  /** Plugin names it may sign: exact, or a beginning followed by `*`. */
  plugins: string[];
  /** Milliseconds since 1970, like all times here. */
  addedAt: number;
  notBefore?: number;
  notAfter?: number;
  revokedAt?: number;
}

export interface NewKey {
  name: string;
  publicPem: string;
  plugins: string[];
  notBefore?: number;
  notAfter?: number;
}

type Verdict = { key: TrustedKey } | { reason: DistrustReason; text: string };

/** How near to being trusted a signature came; the nearest one is what the error is about. */
const NEARNESS: readonly DistrustReason[] = [
  "unsigned",
  "unknown-key",
  "bad-signature",
  "other-name",
  "not-yet-valid",
  "no-longer-valid",
  "revoked",
];

export class Trust {
  readonly #store: Store;
  /** By name; public keys are parsed once. */
  readonly #keys = new Map<string, { row: TrustedKey; key: KeyObject }>();

  constructor(store: Store) {
    this.#store = store;
    for (const { value } of store.list(PREFIX)) {
      const row = JSON.parse(value) as TrustedKey;
      this.#keys.set(row.name, { row, key: createPublicKey(row.publicPem) });
    }
  }

  list(): TrustedKey[] {
    return [...this.#keys.values()].map(({ row }) => row);
  }

  /**
   * From now on `key` counts. Exactly the same again is no error. Throws KeyError,
   * PluginRequestError.
   */
  add(key: NewKey, now: number): { row: TrustedKey; created: boolean } {
    if (key.name === MACHINE_KEY) {
      throw new PluginRequestError(409, `Cannot trust "${key.name}": the agent's own key has it`);
    }
    const id = keyIdOf(readPublicKey(key.publicPem));
    const known = this.#keys.get(key.name)?.row;
    if (known !== undefined && known.id === id && sameTerms(known, key)) {
      return { row: known, created: false };
    }
    const other = this.list().find((row) => row.id === id || row.name === key.name);
    if (other !== undefined) {
      const what =
        other.id === id
          ? `this key is trusted as "${other.name}"; remove that first`
          : "another key has this name";
      throw new PluginRequestError(409, `Cannot trust "${key.name}": ${what}`);
    }
    if (this.#keys.size >= KEYS_MAX) {
      throw new PluginRequestError(409, `Cannot trust "${key.name}": there are ${KEYS_MAX} keys`);
    }
    return { row: this.#put({ ...key, id, addedAt: now }), created: true };
  }

  /** The agent's own key, for the plugins that ship with it; replaces what it was before. */
  setMachineKey(privateKey: KeyObject, plugins: string[], now: number): void {
    const publicPem = createPublicKey(privateKey).export({ type: "spki", format: "pem" });
    const id = keyIdOf(privateKey);
    this.#put({ name: MACHINE_KEY, id, publicPem: publicPem.toString(), plugins, addedAt: now });
  }

  /** Throws PluginRequestError. Revoking again keeps the first time. */
  revoke(name: string, now: number): TrustedKey {
    const row = this.#changeable(name, "revoke");
    return row.revokedAt === undefined ? this.#put({ ...row, revokedAt: now }) : row;
  }

  /** What it signed counts as signed by nobody known. Throws PluginRequestError. */
  remove(name: string): TrustedKey {
    const row = this.#changeable(name, "remove");
    this.#store.delete(PREFIX + name);
    this.#keys.delete(name);
    return row;
  }

  /** The key that vouches for the package at `now`. Throws UntrustedError that says why none. */
  check(
    plugin: Pick<PluginPackage, "digest" | "manifest" | "signatures">,
    now: number,
  ): TrustedKey {
    const { name, version } = plugin.manifest;
    const subject = `Cannot trust ${name} ${version}`;
    if (plugin.signatures.length === 0) {
      throw new UntrustedError("unsigned", `${subject}: it has no signature`);
    }
    const verdicts = plugin.signatures.map((one) => this.#judge(plugin, one, now));
    let nearest: Exclude<Verdict, { key: TrustedKey }> | undefined;
    for (const verdict of verdicts) {
      if ("key" in verdict) return verdict.key;
      const nearer = (other: DistrustReason): boolean =>
        NEARNESS.indexOf(verdict.reason) > NEARNESS.indexOf(other);
      if (nearest === undefined || nearer(nearest.reason)) nearest = verdict;
    }
    throw new UntrustedError(nearest?.reason ?? "unsigned", `${subject}: ${nearest?.text}`);
  }

  #judge(
    { digest, manifest }: Pick<PluginPackage, "digest" | "manifest">,
    signature: PackageSignature,
    now: number,
  ): Verdict {
    const found = [...this.#keys.values()].find(({ row }) => row.id === signature.key);
    if (found === undefined) {
      return { reason: "unknown-key", text: `no key here is ${signature.key}` };
    }
    const { row, key } = found;
    const refuse = (reason: DistrustReason, text: string): Verdict => ({
      reason,
      text: `key "${row.name}" ${text}`,
    });
    if (!isSignedBy(digest, signature, key)) {
      return refuse("bad-signature", "did not make its signature: the file was changed or forged");
    }
    if (!row.plugins.some((pattern) => matches(pattern, manifest.name))) {
      return refuse("other-name", `may sign ${row.plugins.join(", ")} only`);
    }
    if (row.revokedAt !== undefined) {
      return refuse("revoked", `was revoked on ${new Date(row.revokedAt).toISOString()}`);
    }
    if (row.notBefore !== undefined && now < row.notBefore) {
      return refuse("not-yet-valid", `counts from ${new Date(row.notBefore).toISOString()}`);
    }
    if (row.notAfter !== undefined && now > row.notAfter) {
      return refuse("no-longer-valid", `counted until ${new Date(row.notAfter).toISOString()}`);
    }
    return { key: row };
  }

  #changeable(name: string, verb: string): TrustedKey {
    const row = this.#keys.get(name)?.row;
    if (row === undefined)
      throw new PluginRequestError(404, `Cannot ${verb} key "${name}": unknown`);
    if (name === MACHINE_KEY) {
      throw new PluginRequestError(
        409,
        `Cannot ${verb} key "${name}": it is the agent's own; remove keys/machine.pem from the ` +
          "state folder and restart the agent to get another",
      );
    }
    return row;
  }

  #put(row: TrustedKey): TrustedKey {
    const key = createPublicKey(row.publicPem);
    this.#store.put(PREFIX + row.name, JSON.stringify(row));
    this.#keys.set(row.name, { row, key });
    return row;
  }
}

function sameTerms(a: NewKey, b: NewKey): boolean {
  const terms = ({ plugins, notBefore, notAfter }: NewKey): string =>
    JSON.stringify([plugins, notBefore, notAfter]);
  return terms(a) === terms(b);
}

/** `acme-*` stands for every name that begins with `acme-`. */
function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}
