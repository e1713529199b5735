/**
 * What random policies are made of: values from short lists, so that rules meet, contain and
 * contradict each other often.
 */
import fc from "fast-check";
import type { OracleService } from "./evaluate-cilium.ts";

export const CIDRS = [
  "10.0.0.0/8",
  "10.1.0.0/16",
  "10.1.2.0/24",
  "10.1.2.3/32",
  "192.168.0.0/16",
  "0.0.0.0/0",
  "fd00::/8",
  "fd00:1::/32",
  "fd00:1::5/128",
  "::/0",
];

const EXCEPTS: Record<string, string[]> = {
  "10.0.0.0/8": ["10.1.0.0/16", "10.1.2.0/24", "10.200.0.0/16"],
  "10.1.0.0/16": ["10.1.2.0/24"],
  "0.0.0.0/0": ["10.0.0.0/8", "192.168.0.0/16"],
  "fd00::/8": ["fd00:1::/32"],
  "::/0": ["fd00::/8"],
};

/** Services that policies name: of pods, of addresses outside, of nothing. */
export const SERVICES: readonly OracleService[] = [
  {
    ...{ namespace: "default", name: "db", labels: { tier: "data" }, selector: { app: "db" } },
    backends: ["10.1.2.3"],
  },
  {
    ...{ namespace: "prod", name: "db", labels: { tier: "data" }, selector: { app: "db" } },
    backends: [],
  },
  {
    ...{ namespace: "default", name: "outside", labels: { tier: "far" }, selector: undefined },
    backends: ["192.168.7.7", "fd00:1::5"],
  },
  {
    ...{ namespace: "default", name: "empty", labels: {}, selector: undefined },
    backends: [],
  },
];

export const ADDRESSES = [
  "10.1.2.3",
  "10.1.2.4",
  "10.1.9.9",
  "10.200.0.1",
  "192.168.7.7",
  "8.8.8.8",
  "fd00:1::5",
  "fd00:1::6",
  "fd00:2::1",
  "2001:db8::1",
];

export const ENTITIES = [
  "all",
  "world",
  "cluster",
  "cluster-mesh",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
];

export const app = fc.constantFrom("web", "db", "client");
export const namespaceKey = fc.constantFrom(
  "io.kubernetes.pod.namespace",
  "k8s:io.kubernetes.pod.namespace",
);

export function expression(keys: fc.Arbitrary<string>) {
  return fc.oneof(
    fc.record({
      key: keys,
      operator: fc.constantFrom("In", "NotIn"),
      values: fc.uniqueArray(app, { minLength: 1, maxLength: 2 }),
    }),
    fc.record({ key: keys, operator: fc.constantFrom("Exists", "DoesNotExist") }),
  );
}

export const cidrSet = fc.constantFrom(...CIDRS).chain((cidr) => {
  const except = EXCEPTS[cidr] ?? [];
  if (except.length === 0) return fc.constant({ cidr });
  return fc.subarray(except).map((some) => (some.length === 0 ? { cidr } : { cidr, except: some }));
});

export const protocol = fc.constantFrom("TCP", "UDP", "SCTP", "ANY", undefined);
export const numbered = fc.constantFrom<[string, number | undefined]>(
  ["80", undefined],
  ["443", undefined],
  ["8080", undefined],
  ["80", 90],
  ["1", 1023],
  ["8000", 9000],
  ["443", 80],
);
export const anyPort = fc.oneof(
  { weight: 6, arbitrary: numbered },
  { weight: 1, arbitrary: fc.constant<[string, undefined]>(["0", undefined]) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<[string, undefined]>(["http", undefined], ["Metrics", undefined]),
  },
);

export function port(
  number: fc.Arbitrary<[string, number | undefined]>,
  proto: fc.Arbitrary<string | undefined>,
) {
  return fc.tuple(number, proto).map(([[value, endPort], name]) => ({
    port: value,
    ...(endPort === undefined ? {} : { endPort }),
    ...(name === undefined ? {} : { protocol: name }),
  }));
}

/** Without sources, as Kubernetes' own kinds have them. */
export const plainSelector = fc.oneof(
  fc.constant({}),
  app.map((value) => ({ matchLabels: { app: value } })),
  fc.record({
    matchExpressions: fc.array(expression(fc.constantFrom("app", "tier")), {
      minLength: 1,
      maxLength: 1,
    }),
  }),
);
export const namespaceSelector = fc.oneof(
  fc.constant({}),
  fc.constant({ matchLabels: { team: "blue" } }),
  fc.constant({ matchLabels: { "kubernetes.io/metadata.name": "prod" } }),
);

/** Around what rules name. */
export const PORTS: readonly number[] = [
  ...[0, 1, 22, 79, 80, 85, 90, 91, 443, 1023, 1024, 7999, 8000, 8080, 9000, 9001, 65_535],
];
