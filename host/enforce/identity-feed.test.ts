/** A selector cache follows the identities, announced or compared. */
import { expect, test } from "vitest";
import { labelSelector, type Selector } from "../policy/selector.ts";
import { SelectorCache } from "../policy/selector-cache.ts";
import { CLIENT, IDENTITIES } from "../policy/testing/small-world.ts";
import type { Identity } from "../policy/types.ts";
import { type IdentityChange, IdentityFeed } from "./identity-feed.ts";

const APP: Selector = labelSelector([
  { source: "any", key: "app", operator: "Exists", values: [] },
]);

test("compares what a source lists that announces nothing", () => {
  const cache = new SelectorCache();
  let identities: Identity[] = [...IDENTITIES];
  const feed = new IdentityFeed(cache, { list: () => identities });
  feed.sync();
  expect([...cache.selection(APP)]).toEqual([256, 257]);
  cache.takeChanges();
  feed.sync();
  expect(cache.takeChanges().size).toBe(0);
  identities = [{ ...CLIENT, labels: [] }];
  feed.sync();
  expect([...cache.selection(APP)]).toEqual([]);
  expect([...(cache.takeChanges().get(APP.key) ?? [])].toSorted()).toEqual([256, 257]);
});

test("takes what a source announces, and lists it once", () => {
  const cache = new SelectorCache();
  const listeners: ((change: IdentityChange) => void)[] = [];
  let lists = 0;
  const feed = new IdentityFeed(cache, {
    list: () => {
      lists++;
      return [...IDENTITIES];
    },
    onChange: (listener) => void listeners.push(listener),
  });
  feed.sync();
  feed.sync();
  const added = [{ ...CLIENT, id: 300 }];
  for (const listener of listeners) listener({ added, removed: [257] });
  expect([...cache.selection(APP)]).toEqual([256, 300]);
  expect([lists, listeners.length]).toEqual([1, 1]);
});
