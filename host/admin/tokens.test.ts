/** Tokens are good from their making to their end or revocation, and over restarts. */
import { expect, it } from "vitest";
import { SqliteStore } from "../store/sqlite.ts";
import { Tokens } from "./tokens.ts";

const HOUR = 3600;

function stage() {
  const store = new SqliteStore(":memory:");
  const clock = { ms: 1_000_000 };
  return { store, clock, tokens: new Tokens(store, () => clock.ms) };
}

it("verify() knows a token until it ends", () => {
  const { clock, tokens } = stage();
  const { token } = tokens.create({ name: "ci", role: "operator", ttlSeconds: HOUR });
  const holder = tokens.verify(token);
  expect(holder).toMatchObject({ name: "ci", role: "operator" });
  clock.ms += HOUR * 1000 - 1;
  expect(holder?.isValid()).toBe(true);
  clock.ms += 1;
  expect([holder?.isValid(), tokens.verify(token)]).toEqual([false, undefined]);
  expect(tokens.list()).toMatchObject([{ name: "ci", expired: true }]);
});

it("revoke() ends a token at once; a new one of that name is another", () => {
  const { tokens } = stage();
  const first = tokens.create({ name: "ci", role: "viewer", ttlSeconds: HOUR });
  const holder = tokens.verify(first.token);
  tokens.revoke("ci");
  const second = tokens.create({ name: "ci", role: "admin", ttlSeconds: HOUR });
  expect([holder?.isValid(), tokens.verify(first.token)]).toEqual([false, undefined]);
  expect(tokens.verify(second.token)).toMatchObject({ role: "admin" });
  expect(() => tokens.revoke("nobody")).toThrow(/Cannot find token "nobody"/);
});

it("tokens outlive a restart, and the store holds none of them", () => {
  const { store, clock, tokens } = stage();
  const { token } = tokens.create({ name: "ci", role: "viewer", ttlSeconds: HOUR });
  expect(new Tokens(store, () => clock.ms).verify(token)).toMatchObject({ name: "ci" });
  const kept = JSON.stringify(store.list(""));
  expect(kept).not.toContain(token.slice("imker_".length));
  expect(JSON.stringify(tokens.list())).not.toMatch(/imker_|hash|digest/);
});

it.each([
  ["nothing", ""],
  ["another token", `imker_${"A".repeat(43)}`],
  ["the stored hash", "0".repeat(64)],
])("verify() refuses %s", (_name, text) => {
  const { tokens } = stage();
  tokens.create({ name: "ci", role: "viewer", ttlSeconds: HOUR });
  expect(tokens.verify(text)).toBeUndefined();
});

it("there is one valid token of a name, and a bound on all", () => {
  const { clock, tokens } = stage();
  tokens.create({ name: "t0", role: "viewer", ttlSeconds: HOUR });
  expect(() => tokens.create({ name: "t0", role: "viewer", ttlSeconds: 1 })).toThrow(/revoke it/);
  for (let index = 1; index < 256; index++) {
    tokens.create({ name: `t${index}`, role: "viewer", ttlSeconds: HOUR });
  }
  expect(() => tokens.create({ name: "more", role: "viewer", ttlSeconds: 1 })).toThrow(/256/);
  clock.ms += HOUR * 1000;
  expect(tokens.create({ name: "t0", role: "viewer", ttlSeconds: 1 }).token).toMatch(/^imker_/);
});
