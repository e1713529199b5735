/**
 * Files as the API server takes or refuses them: nulls, lists of one kind, misspelt metadata, and
 * what the validation of Kubernetes' own kinds asks for. Where null could mean two things it is
 * refused.
 */
import { describe, expect, test } from "vitest";
import { KCNP, KNP, policy } from "./testing/policy-text.ts";
import { lines, parse, resolve } from "./testing/small-world.ts";

const cilium = (spec: string, metadata = "name: p") =>
  `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {${metadata}}\nspec: {${spec}}\n`;
const kubernetes = (spec: string) => policy(KNP, spec);
const tiered = (spec: string) => policy(KCNP, `tier: Admin, priority: 1, ${spec}`);
const admin = (spec: string) => policy("AdminNetworkPolicy", `priority: 1, ${spec}`);
const SUBJECT = "endpointSelector: {matchLabels: {app: web}}";

function errorsOf(text: string): string[] {
  return parse(text).errors.map(({ path, message }) => `${path}: ${message}`);
}

describe("null", () => {
  test.each<[string, string, string[]]>([
    [
      "for conditions of a selector is none",
      cilium(`${SUBJECT}, ingress: [{fromEndpoints: [{matchLabels: null, matchExpressions: ~}]}]`),
      ["256 0:0/0 allow", "257 0:0/0 allow"],
    ],
    [
      "for a direction is no rule",
      cilium(`${SUBJECT}, ingress: [{}], egress: null, ingressDeny: null`),
      [],
    ],
    [
      "for a description and labels is none",
      cilium(`${SUBJECT}, ingress: [{}], labels: null, description: null`),
      [],
    ],
    [
      "for a namespace and a uid is none",
      cilium(`${SUBJECT}, ingress: [{}]`, "name: p, namespace: null, uid: null"),
      [],
    ],
    [
      "in a NetworkPolicy is as if the field were not there",
      kubernetes("podSelector: null, ingress: [{from: null, ports: null}], policyTypes: null"),
      ["0 0:0/0 allow"],
    ],
    [
      "as the spec of a NetworkPolicy closes every pod, as no spec does",
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: null\n" +
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: q}\n",
      [],
    ],
  ])("%s", (_, text, expected) => {
    expect(errorsOf(text)).toEqual([]);
    expect(lines(resolve([text]))).toEqual(expected);
  });

  test.each<[string, string, string]>([
    [
      "peers, where none and no list differ",
      `${SUBJECT}, ingress: [{fromEndpoints: null, toPorts: [{ports: [{port: "80"}]}]}]`,
      "spec.ingress[0].fromEndpoints: must be a list, not null",
    ],
    [
      "ports, where an empty list would be every port",
      `${SUBJECT}, ingress: [{fromEndpoints: [{}], toPorts: null}]`,
      "spec.ingress[0].toPorts: must be a list, not null",
    ],
    [
      "a label's value",
      "endpointSelector: {matchLabels: {app: null}}, ingress: [{}]",
      "spec.endpointSelector.matchLabels.app: must be a string, not null",
    ],
    [
      "a condition of a request",
      `${SUBJECT}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], ` +
        "rules: {http: [{path: null}]}}]}]",
      "spec.ingress[0].toPorts[0].rules.http[0].path: must be a string, not null",
    ],
    [
      "the subject",
      "endpointSelector: null, ingress: [{}]",
      "spec.endpointSelector: must be an object, not null",
    ],
  ])("is refused for %s", (_, spec, expected) => {
    expect(errorsOf(cilium(spec))).toEqual([expected]);
  });

  test("is refused with what either would be written as", () => {
    const [error] = parse(cilium(`${SUBJECT}, ingress: [{fromEntities: null}]`)).errors;
    expect(error?.expected).toBe(
      "a list: an empty one is nobody, and without the field it is anyone",
    );
  });
});

describe("metadata", () => {
  test("may hold all that the API server and kubectl write", () => {
    const text = cilium(
      `${SUBJECT}, ingress: [{}]`,
      "name: p, generateName: p-, namespace: a, labels: {a: b}, annotations: {a/b: c}, uid: u, " +
        "resourceVersion: '5', generation: 3, creationTimestamp: 2026-01-01T00:00:00Z, " +
        "deletionTimestamp: null, deletionGracePeriodSeconds: 0, ownerReferences: [{name: x}], " +
        "finalizers: [a/b], managedFields: [{manager: kubectl}], selfLink: /x",
    );
    expect(errorsOf(`${text}status: {conditions: []}\n`)).toEqual([]);
  });

  test.each([
    ["name: p, namepace: shop", 'metadata.namepace: unknown field "namepace"; did you mean "name'],
    ["name: p, spec: {}", 'metadata.spec: unknown field "spec"'],
  ])("with {%s} is refused", (metadata, expected) => {
    const [error, ...more] = errorsOf(cilium(`${SUBJECT}, ingress: [{}]`, metadata));
    expect(error).toContain(expected);
    expect(more).toEqual([]);
  });
});

describe("a list", () => {
  test("of one kind gives its items the kind they leave out", () => {
    const items = "[{metadata: {name: a}, spec: {}}, {metadata: {name: b}, spec: {}}]";
    const text = `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems: ${items}\n`;
    const { documents, errors } = parse(text);
    expect(errors).toEqual([]);
    expect(documents.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      "NetworkPolicy a",
      "NetworkPolicy b",
    ]);
  });

  test.each([
    [
      "of any kind needs it in every item",
      "apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}, spec: {podSelector: {}}}]\n",
      "items[0].kind: is required",
    ],
    [
      "of one kind may not hold another version",
      "apiVersion: extensions/v1beta1\nkind: NetworkPolicyList\nitems: [{metadata: {name: a}, spec: {}}]\n",
      'items[0].apiVersion: "extensions/v1beta1" is not allowed here',
    ],
    [
      "of bare rules is no policy",
      '[{"endpointSelector": {}, "ingress": [{}]}]',
      ": is a list without a kind; rules need a policy around them",
    ],
  ])("%s", (_, text, expected) => {
    expect(errorsOf(text)).toEqual([expected]);
  });
});

describe("what the API server refuses", () => {
  const toPorts = (rules: string) =>
    cilium(
      `${SUBJECT}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: ${rules}}]}]`,
    );
  const from = (block: string) =>
    kubernetes(`podSelector: {}, ingress: [{from: [{ipBlock: ${block}}]}]`);

  test.each<[string, string, string[]]>([
    [
      "L7 rules of no kind",
      toPorts("{}"),
      ["spec.ingress[0].toPorts[0].rules: no L7 protocol is specified"],
    ],
    [
      "L7 rules of a kind that is misspelt",
      toPorts("{htpp: []}"),
      [
        'spec.ingress[0].toPorts[0].rules.htpp: unknown field "htpp"; did you mean "http"?',
        "spec.ingress[0].toPorts[0].rules: no L7 protocol is specified",
      ],
    ],
    [
      "a server name that stands there twice",
      cilium(
        `${SUBJECT}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], ` +
          "serverNames: [a.example, a.example]}]}]",
      ),
      ["spec.egress[0].toPorts[0].serverNames: names one host twice"],
    ],
    [
      "an entity that is no text",
      cilium(`${SUBJECT}, ingress: [{fromEntities: [{host: true}]}]`),
      ['spec.ingress[0].fromEntities[0]: unsupported entity: {"host":true}'],
    ],
    [
      "a block without addresses",
      from("{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}"),
      ["spec.ingress[0].from[0].ipBlock.except[0]: must be a strict subset of 10.0.0.0/8"],
    ],
    [
      "the same, written with host bits",
      from("{cidr: 10.0.0.0/8, except: [10.1.2.3/8]}"),
      ["spec.ingress[0].from[0].ipBlock.except[0]: must be a strict subset of 10.0.0.0/8"],
    ],
    [
      "a port name in upper case",
      kubernetes("podSelector: {}, ingress: [{ports: [{port: HTTP}]}]"),
      ['spec.ingress[0].ports[0].port: "HTTP" is not a port name'],
    ],
    [
      "pods of an AdminNetworkPolicy without namespaceSelector",
      admin(
        "subject: {pods: {podSelector: {}}}, " +
          "ingress: [{action: Deny, from: [{pods: {podSelector: {}}}]}], " +
          "egress: [{action: Deny, to: [{pods: {podSelector: {}}}]}]",
      ),
      [
        "spec.subject.pods.namespaceSelector: is required",
        "spec.ingress[0].from[0].pods.namespaceSelector: is required",
        "spec.egress[0].to[0].pods.namespaceSelector: is required",
      ],
    ],
    [
      "pods without podSelector",
      tiered("subject: {pods: {namespaceSelector: {}}}"),
      ["spec.subject.pods.podSelector: is required"],
    ],
  ])("%s", (_, text, expected) => {
    expect(errorsOf(text)).toEqual(expected);
  });

  test("except where it is of Cilium: an exception may leave nothing", () => {
    const set = "[{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}]";
    expect(errorsOf(cilium(`${SUBJECT}, ingress: [{fromCIDRSet: ${set}}]`))).toEqual([]);
  });
});

test("pods of a ClusterNetworkPolicy without namespaceSelector are those of every namespace", () => {
  const pods = (app: string) => `{pods: {podSelector: {matchLabels: {app: ${app}}}}}`;
  const text = tiered(
    `subject: ${pods("web")}, ingress: [{action: Deny, from: [${pods("client")}]}]`,
  );
  expect(errorsOf(text)).toEqual([]);
  const { documents } = parse(text);
  expect(documents[0]).toMatchObject({ spec: { subject: { pods: { podSelector: {} } } } });
});
