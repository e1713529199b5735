/** Visibility shows what is allowed anyway, for every peer, and changes nothing else. */
import { describe, expect, test } from "vitest";
import { createLookup } from "../lookup.ts";
import { resolvePolicy } from "../resolver.ts";
import {
  cnp,
  IDENTITIES,
  lines,
  parse,
  port80,
  repositoryOf,
  resolve,
  SUBJECT,
  visibility,
} from "../testing/small-world.ts";
import { watchesOnly } from "./l7.ts";

const PORT = 'ports: [{port: "80", protocol: TCP}]';
const WATCH = visibility("v", `endpointSelector: {}, ${PORT}, plugin: redis`);
const SEEN = "redis observe/open [*]";
const client = "fromEndpoints: [{matchLabels: {app: client}}]";

describe("a port that is watched", () => {
  test.each<[string, string[], string[]]>([
    ["without policies", [], ["0 0:0/0 allow", `0 6:80/16 ${SEEN}`]],
    ["under default deny, with nothing allowed", [cnp("p", "ingress: [{}]")], []],
    [
      "allowed for one peer",
      [cnp("p", `ingress: [{${client}, toPorts: [{${PORT}}]}]`)],
      [`257 6:80/16 ${SEEN}`],
    ],
    [
      "inside what is allowed for one peer",
      [cnp("p", `ingress: [{${client}}]`)],
      ["257 0:0/0 allow", `257 6:80/16 ${SEEN}`],
    ],
    [
      "inside what is allowed for anyone",
      [cnp("p", "ingress: [{fromEntities: [all]}]")],
      ["0 0:0/0 allow", `0 6:80/16 ${SEEN}`],
    ],
    [
      "denied for one peer",
      [cnp("p", `ingress: [{fromEntities: [all]}], ingressDeny: [{${client}}]`)],
      ["0 0:0/0 allow", `0 6:80/16 ${SEEN}`, "257 0:0/0 deny"],
    ],
    [
      "denied for anyone",
      [cnp("p", `ingress: [{fromEntities: [all]}], ingressDeny: [{toPorts: [{${PORT}}]}]`)],
      ["0 0:0/0 allow", "0 6:80/16 deny"],
    ],
    [
      "enforced by the same plugin",
      [cnp("p", `ingress: [{${port80("l7proto: redis, l7: [{cmd: GET}]")}}]`)],
      ["0 6:80/16 redis [cmd=GET]"],
    ],
    [
      "enforced by another plugin",
      [cnp("p", `ingress: [{${port80("http: [{method: GET}]")}}]`)],
      ["0 6:80/16 l7-http [method=GET]"],
    ],
    [
      "enforced for one peer, open to the rest",
      [
        cnp("p", "ingress: [{fromEntities: [all]}]"),
        cnp("q", `ingress: [{${client}, ${port80("http: [{method: GET}]")}}]`),
      ],
      ["0 0:0/0 allow", `0 6:80/16 ${SEEN}`, "257 6:80/16 l7-http [*]"],
    ],
  ])("%s", (_, texts, expected) => {
    expect(lines(resolve([...texts, WATCH]))).toEqual(expected);
    // The order in which policies come does not matter.
    expect(lines(resolve([WATCH, ...texts]))).toEqual(expected);
  });

  test("is watched even where policies are switched off", () => {
    const entries = resolve([cnp("p", "ingress: [{}]"), WATCH], { enforcement: "never" });
    expect(lines(entries)).toEqual(["0 0:0/0 allow", `0 6:80/16 ${SEEN}`]);
  });

  test("turns on no default deny and stands behind no decision", () => {
    const resolved = resolvePolicy(repositoryOf(WATCH), IDENTITIES, SUBJECT);
    expect([resolved.ingressEnforced, resolved.egressEnforced]).toEqual([false, false]);
    expect(resolved.entries.flatMap(({ origins }) => origins)).toEqual([]);
    const allowed = resolve([cnp("p", `ingress: [{${client}, toPorts: [{${PORT}}]}]`), WATCH]);
    expect(allowed[0]?.origins.map(({ name }) => name)).toEqual(["p"]);
    expect(allowed[0]?.l7 && watchesOnly(allowed[0].l7)).toBe(true);
  });

  test("gives way to every L7 rule set at equal specificity", () => {
    const [entry] = resolve([cnp("p", `ingress: [{${client}, toPorts: [{${PORT}}]}]`), WATCH]);
    expect((entry?.precedence ?? 0) & 0xff).toBe(129);
  });
});

test("ranges, direction and one endpoint by name", () => {
  const egress = visibility(
    "v",
    'endpoint: web-1, direction: egress, ports: [{port: "80", endPort: 81}], plugin: redis@1.2.3',
  );
  const entries = resolve([egress]);
  expect(lines(entries, "egress")).toEqual([
    "0 0:0/0 allow",
    "0 6:80/15 redis@1.2.3 observe/open [*]",
  ]);
  expect(lines(entries)).toEqual(["0 0:0/0 allow"]);
  const other = visibility("v", `endpoint: web-2, ${PORT}, plugin: redis`);
  const elsewhere = WATCH.replace("namespace: default", "namespace: prod");
  for (const text of [other, elsewhere]) expect(lines(resolve([text]))).toEqual(["0 0:0/0 allow"]);
});

test("of several plugins the narrowest key's, then the first by name, then a pinned one", () => {
  const all = (name: string, plugin: string, ports = PORT) =>
    visibility(name, `endpointSelector: {}, ${ports}, plugin: ${plugin}`);
  const wide = all("w", "aaa", 'ports: [{port: "64", endPort: 127}]');
  const seen = (...texts: string[]) =>
    createLookup(resolve(texts))({ direction: "ingress", identity: 257, protocol: 6, port: 80 })
      .entry?.l7;
  expect(seen(wide, all("a", "redis"))?.plugin).toBe("redis");
  expect(seen(all("a", "redis"), all("b", "memcached"))?.plugin).toBe("memcached");
  expect(seen(all("a", "redis"), all("b", "redis@1.0.0"))?.version).toBe("1.0.0");
});

test.each([
  ["ports: [], plugin: a, endpoint: x", "spec.ports: must have at least 1 item"],
  [`${PORT}, plugin: a`, "spec: one of endpoint or endpointSelector must be provided"],
  [
    `${PORT}, plugin: a, endpoint: x, endpointSelector: {}`,
    "spec.endpoint: endpoint and endpointSelector may not stand together",
  ],
  [`${PORT}, endpoint: x`, "spec.plugin: is required"],
  [`${PORT}, plugin: A_B, endpoint: x`, "spec.plugin: is not the name of a plugin"],
  [
    'ports: [{port: "0"}], plugin: a, endpoint: x',
    'spec.ports[0].port: "0" is not a number from 1 to 65535',
  ],
  [
    'ports: [{port: "1", protocol: UDP}], plugin: a, endpoint: x',
    'spec.ports[0].protocol: "UDP" is not allowed here',
  ],
  [`${PORT}, plugin: a, endpoint: x, rules: []`, 'spec.rules: unknown field "rules"'],
])("refuses {%s}", (fields, expected) => {
  const { errors } = parse(visibility("v", fields));
  expect(errors.map(({ path, message }) => `${path}: ${message}`)).toEqual([expected]);
});
