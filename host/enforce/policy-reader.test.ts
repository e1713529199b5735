/** What plugins say of rules, as errors and warnings of the file that has them. */
import { expect, test } from "vitest";
import { PluginRuleError } from "../../runtime/isolate/index.ts";
import type { L7Rules } from "../policy/index.ts";
import { featuresOf, readPolicyFiles } from "./policy-reader.ts";

const policy = (rules: string) =>
  "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n" +
  '  endpointSelector: {}\n  ingress: [{}, {toPorts: [{ports: [{port: "1", protocol: TCP}], ' +
  `rules: {${rules}}}]}]\n`;
const RULES = "spec.ingress[1].toPorts[0].rules";

function read(rules: string, checkRules: (rules: L7Rules) => void, plugins?: () => undefined) {
  const parsing = { checkPattern: () => undefined, ...(plugins ? { plugins } : {}) };
  const deps = { parsing, checkRules, features: {}, forApply: true };
  return readPolicyFiles([{ file: "f.yaml", text: policy(rules) }], deps);
}

test.each<[string, string, Error, string, string]>([
  [
    "the field a plugin names",
    "l7proto: redis, l7: [{}, {command: GET}]",
    new PluginRuleError(1, "command", "no such command"),
    `${RULES}.l7[1].command`,
    "no such command",
  ],
  [
    "a nested field",
    'http: [{headerMatches: [{name: a}, {name: "b c"}]}]',
    new PluginRuleError(0, "headerMatches.1.name", "is no header name"),
    `${RULES}.http[0].headerMatches[1].name`,
    "is no header name",
  ],
  [
    "a whole rule",
    "l7proto: redis, l7: [{a: b}]",
    new PluginRuleError(0, "", "says nothing"),
    `${RULES}.l7[0]`,
    "says nothing",
  ],
  [
    "rules that are not written",
    "l7proto: redis",
    new PluginRuleError(0, "", "needs rules"),
    RULES,
    "needs rules",
  ],
  ["what is no rule's fault", "l7proto: redis", new Error("out of fuel"), RULES, "out of fuel"],
])("%s", (_, rules, error, path, message) => {
  const result = read(rules, () => {
    throw error;
  });
  expect(result.documents).toEqual([]);
  expect(result.errors).toMatchObject([{ file: "f.yaml", path, message, line: 6 }]);
});

test("a plugin that is not there is not asked, and the policy is taken with a warning", () => {
  const asked: string[] = [];
  const result = read(
    "l7proto: redis, l7: [{a: b}]",
    ({ plugin }) => void asked.push(plugin),
    () => undefined,
  );
  expect(asked).toEqual([]);
  expect(result.documents).toHaveLength(1);
  expect(result.errors).toEqual([]);
  expect(result.warnings).toMatchObject([{ path: `${RULES}.l7proto`, line: 6 }]);
});

test("what is not enforced is an error for those who apply, a warning for those who ask", () => {
  const text =
    "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n" +
    "  endpointSelector: {}\n  egress:\n" +
    '  - {toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchName: a.b}]}}]}\n' +
    "  - {toFQDNs: [{matchName: a.b}], toPorts: [{ports: [{port: '1', protocol: TCP}], " +
    "rules: {http: [{headerMatches: [{name: a, mismatch: ADD}]}]}}]}\n";
  const paths = [
    "spec.egress[0].toPorts[0].rules.dns",
    "spec.egress[1].toFQDNs",
    "spec.egress[1].toPorts[0].rules.http[0].headerMatches[0].mismatch",
  ];
  const checkRules = () => {
    throw new Error("asked about rules that are refused without it");
  };
  const deps = { parsing: { checkPattern: () => undefined }, features: {}, checkRules };
  const files = [{ file: "f.yaml", text }];
  const applied = readPolicyFiles(files, { ...deps, forApply: true });
  expect(applied.errors.map(({ path }) => path)).toEqual(paths);
  expect(applied).toMatchObject({ documents: [], warnings: [] });
  const asked = readPolicyFiles(files, { ...deps, forApply: false });
  expect(asked.errors).toEqual([]);
  expect(asked.documents).toHaveLength(1);
  expect(asked.warnings.map(({ path }) => path)).toEqual(paths);
  expect(asked.warnings[0]?.message).toBe(
    "DNS rules are not enforced by this version; the policy is refused on apply",
  );
});

test("options of the agent are features", () => {
  const options = { nodeSelectorLabels: true, extendedIpProtocols: false };
  expect(featuresOf(options)).toMatchObject({
    ...{ peerNamedPorts: true, nodeSelectorLabels: true, extendedProtocols: false },
  });
});

test("a policy that stands in two files is an error of the second", () => {
  const parsing = { checkPattern: () => undefined };
  const deps = { parsing, checkRules: () => undefined, features: {}, forApply: true };
  const text = policy("http: [{}]");
  const files = ["a", "b"].map((file) => ({ file, text }));
  const others = [
    { file: "c", text: text.replace("{name: p}", "{name: p, namespace: other}") },
    { file: "d", text: text.replace("{name: p}", "{name: q}") },
  ];
  const { documents, errors } = readPolicyFiles([...files, ...others], deps);
  expect(errors).toMatchObject([
    {
      file: "b",
      path: "metadata.name",
      message: "CiliumNetworkPolicy default/p stands in a too",
      line: 3,
    },
  ]);
  expect(documents.map(({ source }) => source.file)).toEqual(["a", "c", "d"]);
});
