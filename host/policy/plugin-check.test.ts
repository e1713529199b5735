/** L7 rules against manifests: what is refused, with its exact path, and what is only warned of. */
import { expect, test } from "vitest";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { parsePolicyFile } from "./document.ts";
import type { PluginReference } from "./plugin-reference.ts";

type Rules = Manifest["rules"];

const manifest = (name: string, rules: Rules): Manifest => ({
  name,
  version: "1.2.3",
  contract: "imker:l7@1.0.0",
  description: "",
  status: "alpha",
  securityPosture: "",
  flow: "generic",
  capabilities: [],
  rules,
  records: { request: { fields: [] }, response: { fields: [] } },
  limits: { memoryPagesMax: 1, fuelBase: 1000, fuelPerByte: 1 },
});
const field = (match: "literal" | "regex") => ({ description: "", match });

const REDIS = manifest("redis", {
  fields: { command: field("literal"), key: field("regex") },
});
const NESTED = manifest("nested", {
  fields: {
    command: field("literal"),
    keys: field("regex"),
    "args.N.name": field("literal"),
    "args.N.count": field("literal"),
  },
  schema: {
    additionalProperties: false,
    required: ["command"],
    properties: {
      command: { type: "string", enum: ["GET", "SET"] },
      keys: { type: "array", items: { type: "string" }, maxItems: 2 },
      args: {
        type: "array",
        items: {
          type: "object",
          additionalProperties: false,
          required: ["name"],
          properties: { name: { type: "string" }, count: { type: "integer", minimum: 1 } },
        },
      },
    },
  },
});
const BROKEN = manifest("broken", {
  fields: {},
  schema: { properties: { a: { type: "string", format: "date" } } },
});
const ENDLESS = manifest("endless", {
  fields: { a: field("literal") },
  schema: { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } },
});
const INSTALLED = [REDIS, NESTED, BROKEN, ENDLESS];

const plugins = ({ name, version }: PluginReference) =>
  INSTALLED.find((one) => one.name === name && (version ?? one.version) === one.version);
const deps = {
  checkPattern: (source: string) => (source.includes("(?=") ? "lookahead" : undefined),
  plugins,
};

const policy = (rules: string, metadata = "{name: p}") =>
  `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: ${metadata}\nspec:\n` +
  `  endpointSelector: {}\n  ingress: [{toPorts: [{ports: [{port: "1", protocol: TCP}], ` +
  `rules: {${rules}}}]}]\n`;
const RULES = "spec.ingress[0].toPorts[0].rules";

function read(text: string) {
  const { documents, errors, warnings } = parsePolicyFile(text, "f.yaml", deps);
  const lines = (list: typeof errors) => list.map(({ path, message }) => `${path}: ${message}`);
  return { documents: documents.length, errors: lines(errors), warnings: lines(warnings) };
}

test.each<[string, string, string[]]>([
  ["strings as Cilium has them", "l7proto: redis, l7: [{command: GET}, {key: a.*}]", []],
  ["no rules at all", "l7proto: redis", []],
  ["a pinned version", "l7proto: redis@1.2.3, l7: [{command: GET}]", []],
  ["nested values", "l7proto: nested, l7: [{command: GET, keys: [a], args: [{name: x}]}]", []],
  [
    "an unknown key",
    "l7proto: redis, l7: [{}, {command: GET}, {comand: GET}]",
    [`${RULES}.l7[2].comand: plugin redis has no rule field "comand"; did you mean "command"?`],
  ],
  [
    "a key that every object has",
    "l7proto: redis, l7: [{constructor: GET}]",
    [`${RULES}.l7[0].constructor: plugin redis has no rule field "constructor"`],
  ],
  [
    "a number where the plugin has no schema",
    "l7proto: redis, l7: [{command: 1}]",
    [`${RULES}.l7[0].command: must be a string, not a number`],
  ],
  [
    "a list where the plugin has no schema",
    "l7proto: redis, l7: [{command: [GET]}]",
    [`${RULES}.l7[0].command: must be a string, not a list`],
  ],
  [
    "a pattern",
    "l7proto: redis, l7: [{key: (?=a)}]",
    [`${RULES}.l7[0].key: invalid regular expression: lookahead`],
  ],
  [
    "a pattern in a list",
    "l7proto: nested, l7: [{command: GET, keys: [a, (?=a)]}]",
    [`${RULES}.l7[0].keys[1]: invalid regular expression: lookahead`],
  ],
  [
    "what a schema requires",
    "l7proto: nested, l7: [{keys: [a]}]",
    [`${RULES}.l7[0].command: is required`],
  ],
  [
    "what a schema lists",
    "l7proto: nested, l7: [{command: GETX}]",
    [`${RULES}.l7[0].command: "GETX" is not allowed here; did you mean "GET"?`],
  ],
  [
    "depth of a nested value",
    "l7proto: nested, l7: [{command: GET, args: [{name: x}, {name: y, count: 0}]}]",
    [`${RULES}.l7[0].args[1].count: must be at least 1`],
  ],
  [
    "an unknown key inside, once",
    "l7proto: nested, l7: [{command: GET, args: [{name: x, nam: y}]}]",
    [`${RULES}.l7[0].args[0].nam: unknown field "nam"; did you mean "name"?`],
  ],
  [
    "too many",
    "l7proto: nested, l7: [{command: GET, keys: [a, b, c]}]",
    [`${RULES}.l7[0].keys: must have at most 2 items`],
  ],
  ["null", "l7proto: redis, l7: [{command: }]", [`${RULES}.l7[0].command: has no value`]],
  [
    "a schema that cannot be read",
    "l7proto: broken, l7: [{a: b}]",
    [
      `${RULES}.l7: Cannot read the rule schema of plugin broken: properties.a: format is not checked; use pattern`,
    ],
  ],
  [
    "a schema that leads to itself",
    "l7proto: endless, l7: [{a: b}]",
    [
      `${RULES}.l7: Cannot read the rule schema of plugin endless: ["$defs"].a: a reference leads to itself`,
    ],
  ],
])("%s", (_, rules, errors) => {
  expect(read(policy(rules))).toEqual({
    documents: errors.length > 0 ? 0 : 1,
    errors,
    warnings: [],
  });
});

const DENIED = "what these rules govern is denied";
test.each<[string, string, string]>([
  [
    "an unknown plugin",
    policy("l7proto: memcached, l7: [{anything: [{goes: 1}]}]"),
    `${RULES}.l7proto: plugin memcached is not installed, or no version of it is active: until then ${DENIED}`,
  ],
  [
    "another version",
    policy("l7proto: redis@2.0.0"),
    `${RULES}.l7proto: plugin redis@2.0.0 is not installed (active is 1.2.3): until then ${DENIED}`,
  ],
  [
    "HTTP without its plugin",
    policy("http: [{path: /}]"),
    `${RULES}.http: plugin l7-http is not installed, or no version of it is active: until then ${DENIED}`,
  ],
  [
    "one whose failure is open",
    policy("l7proto: memcached", "{name: p, annotations: {imker.io/l7-failure: open}}"),
    `${RULES}.l7proto: plugin memcached is not installed, or no version of it is active: until then what these rules govern passes unseen`,
  ],
  [
    "visibility",
    'apiVersion: imker.io/v1alpha1\nkind: VisibilityPolicy\nmetadata: {name: v}\nspec: {endpoint: a, ports: [{port: "1"}], plugin: memcached}',
    "spec.plugin: plugin memcached is not installed, or no version of it is active: until then nothing is reported",
  ],
])("warns of %s, and takes the policy", (_, text, warning) => {
  expect(read(text)).toEqual({ documents: 1, errors: [], warnings: [warning] });
});

test("without knowledge of plugins only the shape is checked", () => {
  const { checkPattern } = deps;
  const text = policy("l7proto: memcached, l7: [{a: [b, {c: d}]}]");
  expect(parsePolicyFile(text, "f.yaml", { checkPattern })).toMatchObject({
    errors: [],
    warnings: [],
  });
});
