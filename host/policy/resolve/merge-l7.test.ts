/** L7 rules of policies that meet on one key: modes, failure policies, pins, conflicts. */
import { describe, expect, test } from "vitest";
import { PolicyConflictError } from "../resolver.ts";
import { cnp, lines, mode, port80, resolve } from "../testing/small-world.ts";

const redis = (name: string, rules: string, annotations = "{}", plugin = "redis") =>
  cnp(name, `ingress: [{${port80(`l7proto: ${plugin}, l7: [${rules}]`)}}]`, annotations);

describe("modes", () => {
  const get = (annotations: string) => redis("get", "{cmd: GET}", annotations);
  const set = (annotations: string) => redis("set", "{cmd: SET}", annotations);

  test.each<[string, string, string, string]>([
    ["rules of one mode are ORed", "enforce", "enforce", "redis [cmd=GET | cmd=SET]"],
    ["also when nothing is enforced", "audit", "audit", "redis audit [cmd=GET | cmd=SET]"],
    ["a policy on trial does not widen what is enforced", "enforce", "audit", "redis [cmd=GET]"],
    ["nor does one that only observes", "observe", "enforce", "redis [cmd=SET]"],
    ["audit is stricter than observe", "audit", "observe", "redis audit [cmd=GET]"],
  ])("%s (%s, %s, %s)", (_, first, second, expected) => {
    const policies = [get(mode(first)), set(mode(second))];
    for (const texts of [policies, policies.toReversed()]) {
      expect(lines(resolve(texts))).toEqual([`0 6:80/16 ${expected}`]);
    }
  });

  test("an observing policy without rules leaves enforcement as it is", () => {
    const watch = cnp("all", `ingress: [{${port80("l7proto: redis")}}]`, mode("observe"));
    expect(lines(resolve([watch]))).toEqual(["0 6:80/16 redis observe [*]"]);
    expect(lines(resolve([watch, get("{}")]))).toEqual(["0 6:80/16 redis [cmd=GET]"]);
  });

  test("an allow without L7 rules lets every request pass, whatever the mode", () => {
    const plain = cnp("plain", 'ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]');
    expect(lines(resolve([plain, get("{}")]))).toEqual(["0 6:80/16 redis [* | cmd=GET]"]);
    expect(lines(resolve([plain, get(mode("audit"))]))).toEqual([
      "0 6:80/16 redis audit [* | cmd=GET]",
    ]);
  });

  test("both policies stand behind the decision: both allow the connection", () => {
    const [entry] = resolve([get("{}"), set(mode("audit"))]);
    expect(entry?.origins.map(({ name }) => name)).toEqual(["get", "set"]);
  });

  test("modes of different keys do not meet", () => {
    const peer = (app: string) => `fromEndpoints: [{matchLabels: {app: ${app}}}]`;
    const texts = [
      cnp("a", `ingress: [{${peer("web")}, ${port80("l7proto: redis")}}]`, mode("audit")),
      cnp("b", `ingress: [{${peer("client")}, ${port80("l7proto: redis")}}]`),
    ];
    expect(lines(resolve(texts))).toEqual(["256 6:80/16 redis audit [*]", "257 6:80/16 redis [*]"]);
  });
});

test.each([
  ["open", "open", "redis open [cmd=GET]"],
  ["open", "closed", "redis [cmd=GET]"],
  ["closed", "open", "redis [cmd=GET]"],
])("failure %s and %s", (first, second, expected) => {
  const texts = [first, second].map((failure, index) =>
    redis(`p${index}`, "{cmd: GET}", `{imker.io/l7-failure: ${failure}}`),
  );
  expect(lines(resolve(texts))).toEqual([`0 6:80/16 ${expected}`]);
});

describe("plugins", () => {
  const with_ = (name: string, plugin: string) => redis(name, "{}", "{}", plugin);

  test("a pinned version serves the unpinned", () => {
    const texts = [with_("a", "redis"), with_("b", "redis@1.0.0"), with_("c", "redis")];
    expect(lines(resolve(texts))).toEqual(["0 6:80/16 redis@1.0.0 [*]"]);
  });

  test.each([
    ["two pins", ["redis@1.0.0", "redis@2.0.0"]],
    ["two plugins", ["redis", "memcached"]],
    ["two pins behind one that has none", ["redis", "redis@1.0.0", "redis@2.0.0"]],
    ["two pins around one that has none", ["redis@1.0.0", "redis", "redis@2.0.0"]],
  ])("%s are a conflict that names both policies", (_, plugins) => {
    const texts = plugins.map((plugin, index) => with_(`p${index}`, plugin));
    const last = plugins.length - 1;
    const first = plugins.length === 3 && plugins[0] === "redis" ? 1 : 0;
    const expected = new RegExp(
      `CiliumNetworkPolicy default/p${first} asks for ${plugins[first]}, ` +
        `CiliumNetworkPolicy default/p${last} for ${plugins[last]}`,
    );
    expect(() => resolve(texts)).toThrow(expected);
    try {
      resolve(texts);
    } catch (error) {
      expect(error).toBeInstanceOf(PolicyConflictError);
      const { policies } = error as PolicyConflictError;
      expect(policies.map(({ name }) => name)).toEqual([`p${first}`, `p${last}`]);
    }
  });

  test("pins on keys of different width meet where one covers the other", () => {
    const wide = cnp(
      "wide",
      'ingress: [{toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}], rules: {l7proto: redis@2.0.0}}]}]',
    );
    expect(() => resolve([with_("narrow", "redis@1.0.0"), wide])).toThrow(PolicyConflictError);
  });
});
