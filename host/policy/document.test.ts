import { describe, expect, test } from "vitest";
import { parsePolicyFile } from "./document.ts";

const deps = {
  checkPattern: (source: string) => (source.includes("(?=") ? "lookahead" : undefined),
};

function errorsOf(text: string): string[] {
  return parsePolicyFile(text, "f.yaml", deps).errors.map(
    ({ path, message }) => `${path}: ${message}`,
  );
}

/** A policy with these lines, indented, under `spec:`. */
function cnp(spec: string, kind = "CiliumNetworkPolicy"): string {
  const lines = spec
    .trim()
    .split("\n")
    .map((line) => `  ${line}`);
  return `apiVersion: cilium.io/v2\nkind: ${kind}\nmetadata: {name: p}\nspec:\n${lines.join("\n")}\n`;
}

const ccnp = (spec: string) => cnp(spec, "CiliumClusterwideNetworkPolicy");
const ingress = (item: string) => cnp(`endpointSelector: {}\ningress:\n- ${item}`);
const egress = (item: string) => cnp(`endpointSelector: {}\negress:\n- ${item}`);
const ports = (text: string) => ingress(`{toPorts: [${text}]}`);
const knp = (spec: string) =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: ${spec}`;
const http = (port: string) => ports(`{ports: [${port}], rules: {http: [{path: /}]}}`);
const P = "spec.ingress[0].toPorts[0]";
const many = new Array(41).fill('{port: "1"}').join(",");

describe("parsePolicyFile()", () => {
  test.each<[string, string, string]>([
    [
      "rule without selector",
      cnp("ingress: [{}]"),
      "spec: rule must have one of EndpointSelector or NodeSelector",
    ],
    [
      "node selector in a CNP",
      cnp("nodeSelector: {}\ningress: [{}]"),
      "spec.nodeSelector: Invalid CiliumNetworkPolicy spec: rule cannot have NodeSelector",
    ],
    [
      "both selectors",
      ccnp("endpointSelector: {}\nnodeSelector: {}\ningress: [{}]"),
      "spec.nodeSelector: rule cannot have both EndpointSelector and NodeSelector",
    ],
    [
      "no direction",
      cnp("endpointSelector: {}"),
      "spec: rule must have at least one of Ingress, IngressDeny, Egress, EgressDeny",
    ],
    [
      "ingress: [] alone",
      cnp("endpointSelector: {}\ningress: []"),
      "spec: rule must have at least one of Ingress, IngressDeny, Egress, EgressDeny",
    ],
    [
      "two kinds of peer",
      ingress("{fromEndpoints: [{}], fromCIDR: [10.0.0.0/8]}"),
      "spec.ingress[0].fromCIDR: combining FromEndpoints and FromCIDR is not supported yet",
    ],
    [
      "requires",
      ingress("{fromRequires: [{}]}"),
      "spec.ingress[0].fromRequires: FromRequires is not supported: it was removed from the language",
    ],
    [
      "entity",
      ingress("{fromEntities: [world-ipv4]}"),
      "spec.ingress[0].fromEntities[0]: unsupported entity: world-ipv4",
    ],
    [
      "CIDR",
      ingress("{fromCIDR: [10.0.0.0]}"),
      'spec.ingress[0].fromCIDR[0]: unable to parse CIDR: "10.0.0.0"',
    ],
    [
      "except outside",
      ingress("{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}"),
      "spec.ingress[0].fromCIDRSet[0].except[0]: allow CIDR prefix 10.0.0.0/8 does not contain exclude CIDR prefix 11.0.0.0/16",
    ],
    [
      "except of the other family",
      ingress("{fromCIDRSet: [{cidr: 0.0.0.0/0, except: ['fd00::/8']}]}"),
      "spec.ingress[0].fromCIDRSet[0].except[0]: allow CIDR prefix 0.0.0.0/0 does not contain exclude CIDR prefix fd00::/8",
    ],
    [
      "except broader",
      ingress("{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.0.0.0/7]}]}"),
      "spec.ingress[0].fromCIDRSet[0].except[0]: allow CIDR prefix 10.0.0.0/8 does not contain exclude CIDR prefix 10.0.0.0/7",
    ],
    [
      "two forms of set",
      ingress("{fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: g}]}"),
      "spec.ingress[0].fromCIDRSet[0]: exactly one of cidr, cidrGroupRef or cidrGroupSelector must be set",
    ],
    ["41 ports", ports(`{ports: [${many}]}`), `${P}.ports: too many ports, the max is 40`],
    ["empty port", ports('{ports: [{port: ""}]}'), `${P}.ports[0].port: port must be specified`],
    ["no port", ports("{ports: [{protocol: TCP}]}"), `${P}.ports[0].port: port must be specified`],
    ["no ports", ports("{}"), `${P}.ports: port must be specified`],
    [
      "port as number",
      ports("{ports: [{port: 80}]}"),
      `${P}.ports[0].port: must be a string, not a number`,
    ],
    [
      "port too large",
      ports('{ports: [{port: "65536"}]}'),
      `${P}.ports[0].port: unable to parse port: "65536" is neither a number from 0 to 65535 nor a name`,
    ],
    [
      "octal port",
      ports('{ports: [{port: "010"}]}'),
      `${P}.ports[0].port: unable to parse port: "010" is neither a number from 0 to 65535 nor a name`,
    ],
    [
      "VRRP with port",
      ports('{ports: [{port: "80", protocol: VRRP}]}'),
      `${P}.ports[0].port: port must be empty or 0`,
    ],
    [
      "L7 on UDP",
      http('{port: "80", protocol: UDP}'),
      `${P}.ports[0].protocol: L7 rules can only apply to TCP (not UDP) except for DNS rules`,
    ],
    [
      "L7 without protocol",
      http('{port: "80"}'),
      `${P}.ports[0].protocol: L7 rules can only apply to TCP (not ANY) except for DNS rules`,
    ],
    [
      "L7 on port 0",
      http('{port: "0", protocol: TCP}'),
      `${P}.ports[0].port: L7 rules can not be used when a port is 0`,
    ],
    [
      "DNS on ingress",
      ports('{ports: [{port: "53"}], rules: {dns: [{matchName: a.b}]}}'),
      `${P}.rules.dns: DNS rules are not allowed on ingress`,
    ],
    [
      "DNS port range",
      egress('{toPorts: [{ports: [{port: "53", endPort: 60}], rules: {dns: [{matchName: a.b}]}}]}'),
      "spec.egress[0].toPorts[0].ports[0].endPort: DNS rules do not support port ranges",
    ],
    [
      "two L7 kinds",
      ports('{ports: [{port: "80", protocol: TCP}], rules: {http: [{}], kafka: [{}]}}'),
      `${P}.rules: multiple L7 protocol rule types specified in single rule`,
    ],
    [
      "l7 alone",
      ports('{ports: [{port: "80", protocol: TCP}], rules: {l7: [{}]}}'),
      `${P}.rules.l7: 'l7' may only be specified when a 'l7proto' is also specified`,
    ],
    [
      "kafka role and key",
      ports(
        '{ports: [{port: "80", protocol: TCP}], rules: {kafka: [{role: produce, apiKey: fetch}]}}',
      ),
      `${P}.rules.kafka[0].apiKey: cannot set both role and apiKey`,
    ],
    [
      "pattern",
      ports('{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: "(?=a)"}]}}'),
      `${P}.rules.http[0].path: invalid regular expression: lookahead`,
    ],
    [
      "SNI with L7",
      egress(
        '{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [a.b], rules: {http: [{}]}}]}',
      ),
      "spec.egress[0].toPorts[0].serverNames: ServerNames are not allowed with L7 rules without TLS termination",
    ],
    [
      "empty SNI",
      egress('{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [""]}]}'),
      "spec.egress[0].toPorts[0].serverNames[0]: Empty server name is not allowed",
    ],
    [
      "listener on ingress",
      ports('{ports: [{port: "80"}], listener: {name: l, envoyConfig: {name: e}}}'),
      `${P}.listener: Listener is not allowed on ingress (l)`,
    ],
    [
      "icmps with toPorts",
      ingress('{icmps: [{fields: [{type: 8}]}], toPorts: [{ports: [{port: "1"}]}]}'),
      "spec.ingress[0].icmps: the ICMPs block may only be present without ToPorts. Define a separate rule to use ToPorts.",
    ],
    [
      "ICMP name of the other family",
      ingress("{icmps: [{fields: [{type: PacketTooBig}]}]}"),
      "spec.ingress[0].icmps[0].fields[0].type: ICMP type PacketTooBig not found in IPv4",
    ],
    [
      "L7 in a deny rule",
      cnp(
        'endpointSelector: {}\ningressDeny:\n- {toPorts: [{ports: [{port: "1"}], rules: {http: [{}]}}]}',
      ),
      "spec.ingressDeny[0].toPorts[0].rules: is not allowed in a deny rule",
    ],
    [
      "FQDNs in a deny rule",
      cnp("endpointSelector: {}\negressDeny:\n- {toFQDNs: [{matchName: a.b}]}"),
      "spec.egressDeny[0].toFQDNs: is not allowed in a deny rule",
    ],
    [
      "FQDN with both forms",
      egress("{toFQDNs: [{matchName: a.b, matchPattern: '*.b'}]}"),
      "spec.egress[0].toFQDNs[0]: only one of matchName or matchPattern is allowed",
    ],
    [
      "host ingress L7",
      ccnp(
        'nodeSelector: {}\ningress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]',
      ),
      "spec.ingress[0].toPorts[0].rules: L7 policy is not supported on host ingress yet",
    ],
    [
      "unknown field",
      ingress("{fromEndpoint: [{}]}"),
      'spec.ingress[0].fromEndpoint: unknown field "fromEndpoint"; did you mean "fromEndpoints"?',
    ],
    [
      "null list",
      ingress("{fromEndpoints: }"),
      "spec.ingress[0].fromEndpoints: must be a list, not null",
    ],
    [
      "label key",
      ingress('{fromEndpoints: [{matchLabels: {"a b": c}}]}'),
      'spec.ingress[0].fromEndpoints[0].matchLabels["a b"]: invalid label key "a b"',
    ],
    [
      "label value",
      ingress("{fromEndpoints: [{matchLabels: {a: -b}}]}"),
      'spec.ingress[0].fromEndpoints[0].matchLabels.a: invalid label value "-b"',
    ],
    [
      "boolean label",
      ingress("{fromEndpoints: [{matchLabels: {a: true}}]}"),
      "spec.ingress[0].fromEndpoints[0].matchLabels.a: must be a string, not true or false",
    ],
    [
      "In without values",
      ingress("{fromEndpoints: [{matchExpressions: [{key: a, operator: In}]}]}"),
      "spec.ingress[0].fromEndpoints[0].matchExpressions[0].values: operator In needs values",
    ],
    [
      "operator",
      ingress("{fromEndpoints: [{matchExpressions: [{key: a, operator: in, values: [b]}]}]}"),
      'spec.ingress[0].fromEndpoints[0].matchExpressions[0].operator: "in" is not allowed here; did you mean "In"?',
    ],
    [
      "no spec",
      "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}",
      ": spec or specs must be provided",
    ],
    [
      "no name",
      "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {}\nspec: {endpointSelector: {}, ingress: [{}]}",
      "metadata.name: CiliumNetworkPolicy must have name",
    ],
    [
      "CCNP with namespace",
      "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: p, namespace: n}\nspec: {endpointSelector: {}, ingress: [{}]}",
      "metadata.namespace: a clusterwide policy has no namespace",
    ],
    [
      "wrong apiVersion",
      "apiVersion: cilium.io/v1\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec: {endpointSelector: {}, ingress: [{}]}",
      'apiVersion: "cilium.io/v1" is not allowed here; did you mean "cilium.io/v2"?',
    ],
    [
      "kind",
      "kind: CiliumNetworkPolcy",
      'kind: unsupported kind "CiliumNetworkPolcy"; did you mean "CiliumNetworkPolicy"?',
    ],
    ["no kind", "a: 1", "kind: is required"],
    ["scalar", "hello", ": must be an object"],
    ["nothing", "# only a comment\n", ": the file holds no document"],
    [
      "KNP peer of two kinds",
      knp("{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}"),
      "spec.ingress[0].from[0]: ipBlock may not be combined with podSelector or namespaceSelector",
    ],
    [
      "KNP empty peer",
      knp("{ingress: [{from: [{}]}]}"),
      "spec.ingress[0].from[0]: must specify a peer",
    ],
    [
      "KNP port",
      knp('{ingress: [{ports: [{port: "80"}]}]}'),
      'spec.ingress[0].ports[0].port: "80" is not a port name',
    ],
    [
      "KNP endPort",
      knp("{ingress: [{ports: [{port: 80, endPort: 79}]}]}"),
      "spec.ingress[0].ports[0].endPort: must not be below port, which must be a number",
    ],
    [
      "KNP source in a key",
      knp("{podSelector: {matchLabels: {'k8s:a': b}}}"),
      'spec.podSelector.matchLabels["k8s:a"]: invalid label key "k8s:a"',
    ],
    [
      "item of a List",
      `kind: List\nitems:\n- ${JSON.stringify({ kind: "Pod" })}`,
      'items[0].kind: unsupported kind "Pod"',
    ],
  ])("refuses %s", (_, text, error) => {
    expect(errorsOf(text)).toEqual([error]);
  });

  test("names every error of a file at once, with line and column", () => {
    const text = `${ingress("{fromEntities: [wurld], toPort: 1}")}---\n${egress("{toCIDR: [x]}")}`;
    const { documents, errors } = parsePolicyFile(text, "two.yaml", deps);
    expect(documents).toEqual([]);
    expect(
      errors.map(({ file, document, path, line, column }) => [file, document, path, line, column]),
    ).toEqual([
      ["two.yaml", 0, "spec.ingress[0].fromEntities[0]", 7, 21],
      ["two.yaml", 0, "spec.ingress[0].toPort", 7, 29],
      ["two.yaml", 1, "spec.egress[0].toCIDR[0]", 15, 15],
    ]);
    expect(errors.every(({ expected }) => expected.length > 0)).toBe(true);
  });

  test.each([
    ["tabs", "a:\n\t- b"],
    ["open bracket", "spec: {a: ["],
    ["duplicate key", "kind: List\nkind: List"],
    [
      "alias bomb",
      `a: &a [${"x,".repeat(50)}]\n${[..."bcdefgh"].map((c, i) => `${c}: &${c} [${`*${"abcdefg"[i]},`.repeat(30)}]`).join("\n")}`,
    ],
    ["deep nesting", "[".repeat(40_000)],
    ["binary", "\u0000\uffff\u0001: %"],
  ])("survives %s", (_, text) => {
    expect(parsePolicyFile(text, "f.yaml", deps).errors.length).toBeGreaterThan(0);
  });

  test("refuses one object defined twice", () => {
    expect(errorsOf(`${ingress("{}")}---\n${ingress("{}")}`)).toEqual([
      "metadata.name: CiliumNetworkPolicy p stands twice in this file",
    ]);
  });

  test("reads several documents, lists, JSON and skips empty documents", () => {
    const item = JSON.stringify({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "k", namespace: "prod", creationTimestamp: null },
      spec: { podSelector: null, ingress: null, policyTypes: ["Ingress"] },
    });
    const text = `---\n# first\n---\n${ingress("{}")}---\nkind: List\nitems: [${item}]\n`;
    const { documents, errors } = parsePolicyFile(text, "f.yaml", deps);
    expect(errors).toEqual([]);
    expect(documents.map(({ kind, namespace, name }) => [kind, namespace, name])).toEqual([
      ["CiliumNetworkPolicy", "default", "p"],
      ["NetworkPolicy", "prod", "k"],
    ]);
  });

  test.each([
    ["apps/v1", "Deployment", "Deployment is not a policy; it is left out"],
    ["networking.k8s.io/v1", "Ingress", "Ingress is not a policy; it is left out"],
    [
      "v1",
      "Namespace",
      "Namespace is not a policy; the agent reads it from --cluster-state; it is left out",
    ],
  ])("leaves out what stands beside policies: %s %s", (apiVersion, kind, warning) => {
    const other = `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n`;
    const { documents, errors, warnings } = parsePolicyFile(
      `${other}---\n${ingress("{}")}`,
      "f.yaml",
      deps,
    );
    expect(errors).toEqual([]);
    expect(documents.map(({ name }) => name)).toEqual(["p"]);
    expect(warnings.map(({ message }) => message)).toEqual([warning]);
    // Alone it is the wrong file.
    expect(errorsOf(other)).toEqual([`kind: ${warning.replace("; it is left out", "")}`]);
  });

  test.each([
    ["cilium.io/v2", "CiliumEgressGatewayPolicy"],
    ["projectcalico.org/v3", "GlobalNetworkPolicy"],
    ["v1", "NetworkPolcy"],
    ["example.com/v1", "NetworkPolicies"],
  ])("does not leave out what may be meant as a policy: %s %s", (apiVersion, kind) => {
    const text = `${ingress("{}")}---\napiVersion: ${apiVersion}\nkind: ${kind}\n`;
    expect(errorsOf(text)).toEqual([expect.stringContaining(`unsupported kind "${kind}"`)]);
  });
});
