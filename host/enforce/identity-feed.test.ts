/** A selector cache follows the identities, announced or compared. */
import { expect, test } from "vitest";
import { cidrLabel, parseAddress, parsePrefix } from "../identity/cidr.ts";
import { reservedLabel } from "../identity/label.ts";
import { createTestAllocator } from "../identity/testing/world.ts";
import { cidrSelector, labelSelector, type Selector } from "../policy/selector.ts";
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

test("CIDRs select the node by its addresses as soon as it has them, and no longer", async () => {
  const { allocator, close } = createTestAllocator();
  await allocator.start();
  const cache = new SelectorCache();
  const feed = new IdentityFeed(cache, allocator);
  const selected = (text: string): number[] => {
    feed.sync();
    const prefix = parsePrefix(text);
    return prefix ? [...cache.selection(cidrSelector(prefix))] : [];
  };
  const at = (...addresses: string[]): void =>
    allocator.nameHost(addresses.flatMap((one) => parseAddress(one) ?? []).map(cidrLabel));
  at("192.0.2.1");
  expect([selected("192.0.2.0/24"), selected("fd00::/8")]).toEqual([[1], []]);
  at("192.0.3.1", "fd00::1");
  expect([selected("192.0.2.0/24"), selected("fd00::/8"), selected("0.0.0.0/0")]).toEqual([
    [],
    [1],
    [9],
  ]);
  expect((await allocator.acquire([reservedLabel("host")])).id).toBe(1);
  close();
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
