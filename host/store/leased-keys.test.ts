/** Keys that are held: one that is refused does not keep the others back. */
import { pino } from "pino";
import { expect, it } from "vitest";
import { LeasedKeys } from "./leased-keys.ts";
import { SqliteSharedStore } from "./sqlite-shared.ts";

const SOON = { timeout: 5_000, interval: 10 };

it("writes what it can, says what it cannot, and goes on trying", async () => {
  const store = new SqliteSharedStore(":memory:");
  const log = pino({ level: "silent" });
  const leased = new LeasedKeys({ store, log, retryMs: 5 });
  let isRefused = true;
  await leased.holdLater("refused", async (lease) => {
    if (isRefused) throw new Error("Cannot write it: it is another's");
    await store.commit({ put: [{ key: "refused", value: "1", lease }] });
  });
  await leased.holdLater("other", async (lease) => {
    await store.commit({ put: [{ key: "other", value: "1", lease }] });
  });
  expect((await store.get("other"))?.value).toBe("1");
  expect(leased.trouble).toBe("Cannot write it: it is another's");
  isRefused = false;
  await expect.poll(() => leased.trouble, SOON).toBeUndefined();
  expect((await store.get("refused"))?.value).toBe("1");
  leased.close();
  store.close();
});

it("writes all again when its lease was revoked, at the next look", async () => {
  const store = new SqliteSharedStore(":memory:");
  const leased = new LeasedKeys({ store, log: pino({ level: "silent" }), renewalMs: 50 });
  let given = "";
  await leased.hold("held", async (lease) => {
    given = lease;
    await store.commit({ put: [{ key: "held", value: "1", lease }] });
  });
  const first = given;
  await store.revokeLease(first);
  expect(await store.get("held")).toBeUndefined();
  await expect.poll(async () => (await store.get("held"))?.value, SOON).toBe("1");
  expect(given).not.toBe(first);
  leased.close();
  store.close();
});
