/**
 * Bearer tokens for the admin API over TCP. A token is 256 random bits, shown once; the store keeps
 * its SHA-256, which is enough for a secret nobody can guess. Every token has an end.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Store } from "../store/store.ts";
import { ProblemError } from "./problem.ts";
import type { TokenRole } from "./role.ts";
import type { Created, TokenRequest, TokenView } from "./token-schema.ts";

const PREFIX = "api-tokens/";
const TOKEN_PREFIX = "imker_";
const SECRET_BYTES = 32;
/** All of them are compared on every request; one more is refused. */
const TOKENS_MAX = 256;

interface Row {
  role: TokenRole;
  /** SHA-256 of the token, hex. */
  hash: string;
  /** RFC 3339, both. */
  createdAt: string;
  expiresAt: string;
}

interface Known extends Row {
  name: string;
  digest: Buffer;
}

/** Who a token stands for, as long as `isValid` says so. */
export interface TokenHolder {
  name: string;
  role: TokenRole;
  isValid(): boolean;
}

const hashOf = (token: string): Buffer => createHash("sha256").update(token).digest();

export class Tokens {
  readonly #store: Store;
  readonly #nowMs: () => number;
  readonly #known = new Map<string, Known>();

  /** @param nowMs Milliseconds since 1970. */
  constructor(store: Store, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
    for (const { key, value } of store.list(PREFIX)) {
      this.#remember(key.slice(PREFIX.length), JSON.parse(value) as Row);
    }
  }

  /** The only answer that ever holds the token itself. */
  create({ name, role, ttlSeconds }: TokenRequest): Created {
    const now = this.#nowMs();
    const there = this.#known.get(name);
    if (there !== undefined && this.#isValid(there)) {
      throw new ProblemError(409, `Cannot create token "${name}": there is one, revoke it first`);
    }
    if (there === undefined && this.#known.size >= TOKENS_MAX) {
      throw new ProblemError(
        409,
        `Cannot create token "${name}": there are ${TOKENS_MAX} already, revoke one first`,
      );
    }
    const token = TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
    const row: Row = {
      role,
      hash: hashOf(token).toString("hex"),
      createdAt: new Date(now).toISOString(),
      expiresAt: new Date(now + ttlSeconds * 1000).toISOString(),
    };
    this.#store.put(PREFIX + name, JSON.stringify(row));
    return { ...this.#view(this.#remember(name, row)), token };
  }

  /** By name, without the secrets. */
  list(): TokenView[] {
    const all = [...this.#known.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return all.map((one) => this.#view(one));
  }

  /** Takes effect at once, also for a stream that is being read. */
  revoke(name: string): TokenView {
    const known = this.#known.get(name);
    if (known === undefined) throw new ProblemError(404, `Cannot find token "${name}"`);
    this.#store.delete(PREFIX + name);
    this.#known.delete(name);
    return this.#view(known);
  }

  /** Takes the same time for every token, right or wrong. */
  verify(token: string): TokenHolder | undefined {
    const digest = hashOf(token);
    let found: Known | undefined;
    for (const known of this.#known.values()) {
      if (timingSafeEqual(known.digest, digest)) found = known;
    }
    if (found === undefined || !this.#isValid(found)) return undefined;
    const holder = found;
    return { name: holder.name, role: holder.role, isValid: () => this.#isValid(holder) };
  }

  #isValid(known: Known): boolean {
    return this.#known.get(known.name) === known && this.#nowMs() < Date.parse(known.expiresAt);
  }

  #remember(name: string, row: Row): Known {
    const known = { ...row, name, digest: Buffer.from(row.hash, "hex") };
    this.#known.set(name, known);
    return known;
  }

  #view({ name, role, createdAt, expiresAt }: Known): TokenView {
    return { name, role, createdAt, expiresAt, expired: this.#nowMs() >= Date.parse(expiresAt) };
  }
}
