/** Objects made of options: the policy language takes them, and a table shows them. */
import { expect, test } from "vitest";
import { parsePolicyFile } from "../policy/index.ts";
import { type VisibilityRequest, visibilityObject, visibilityRow } from "./object.ts";

test.each<[Partial<VisibilityRequest>, string, string[]]>([
  [{}, "cache-1-ingress-6379-redis", ["cache-1", "ingress", "6379/TCP", "redis"]],
  [
    { target: { labels: { "k8s:app": "cache", tier: "db" } }, direction: "egress" },
    "k8s-app-cache-tier-db-egress-6379-redis",
    ["k8s:app=cache,tier=db", "egress", "6379/TCP", "redis"],
  ],
  [
    { target: { labels: {} }, ports: [1, 2], plugin: "redis@1.2.3" },
    "ingress-1-2-redis-1-2-3",
    ["all endpoints", "ingress", "1/TCP,2/TCP", "redis@1.2.3"],
  ],
  [{ name: "mine" }, "mine", ["cache-1", "ingress", "6379/TCP", "redis"]],
])("%j", (fields, name, row) => {
  const object = visibilityObject({
    namespace: "shop",
    target: { endpoint: "cache-1" },
    direction: "ingress",
    ports: [6379],
    plugin: "redis",
    ...fields,
  });
  const { documents, errors } = parsePolicyFile(JSON.stringify(object), "-", {
    checkPattern: () => undefined,
  });
  expect(errors).toEqual([]);
  expect(documents).toMatchObject([{ kind: "VisibilityPolicy", namespace: "shop", name }]);
  expect(visibilityRow(object)).toEqual(row);
});
