/** Which open connections a change of policies would cut, and what it says of them. */
import { expect, it } from "vitest";
import { cidrLabels, parsePrefix } from "../identity/cidr.ts";
import { k8sLabel, reservedLabel } from "../identity/label.ts";
import { createLookup, PolicyRepository, parsePolicyFile, resolvePolicy } from "../policy/index.ts";
import { CCNP, policy } from "../policy/testing/policy-text.ts";
import type { PolicySubject } from "../policy/types.ts";
import { cutText, LockoutGuard, type NodeConnections } from "./lockout-guard.ts";
import type { OpenConnection } from "./open-connection.ts";

const OFFICE = "198.51.100.0/24";
const OFFICE_ID = (1 << 24) + 1;
const office = parsePrefix(OFFICE);
const POD = { id: 1001, labels: [k8sLabel("app", "web")] };
const IDENTITIES = [POD, { id: OFFICE_ID, labels: office ? cidrLabels(office) : [] }];
const NODE: PolicySubject = {
  ...{ endpoint: 65_535, namespace: "", namedPorts: [] },
  scope: "node",
  identity: { id: 1, labels: [reservedLabel("host")] },
};
const ROWS = [
  { prefix: "192.0.2.1/32", identity: 1 },
  { prefix: "10.244.0.7/32", identity: POD.id },
  { prefix: "0.0.0.0/0", identity: 9 },
];

const from = (peer: string, localPort = 22, local = "192.0.2.1"): OpenConnection => {
  return { peer, peerPort: 40_000, local, localPort };
};

function repositoryOf(...specs: string[]): PolicyRepository {
  const repository = new PolicyRepository({ features: { hostFirewall: true } });
  for (const [index, spec] of specs.entries()) {
    const text = policy(CCNP, spec).replace("name: p", `name: p${index}`);
    repository.upsertAll(
      parsePolicyFile(text, "p.yaml", { checkPattern: () => undefined }).documents,
    );
  }
  return repository;
}

function guardOf(open: OpenConnection[], more: Partial<NodeConnections> = {}): LockoutGuard {
  return new LockoutGuard({
    ...{ open: () => open, ipcache: () => ROWS, policesOutside: true },
    judge: async (repository) => {
      const node = [...repository.rules()].some(({ scope }) => scope === "node");
      if (!node) return undefined;
      const { entries } = resolvePolicy(repository, IDENTITIES, NODE);
      return { decide: createLookup(entries), prefixes: new Map([[OFFICE, OFFICE_ID]]) };
    },
    ...more,
  });
}

const tcp = (port: string) => `toPorts: [{ports: [{port: "${port}", protocol: TCP}]}]`;
const WEB = `nodeSelector: {}, ingress: [{${tcp("80")}}]`;
const BY_OFFICE = `nodeSelector: {}, ingress: [{fromCIDR: [${OFFICE}], ${tcp("22")}}]`;
const NOTHING = repositoryOf();

it.each<[string, OpenConnection[], string[], string[]]>([
  ["what no rule allows", [from("203.0.113.9")], [WEB], ["203.0.113.9"]],
  ["not what a rule allows", [from("203.0.113.9", 80)], [WEB], []],
  [
    "by prefixes that only the change names",
    [from("198.51.100.4"), from("203.0.113.9")],
    [BY_OFFICE],
    ["203.0.113.9"],
  ],
  ["of pods", [from("10.244.0.7")], [BY_OFFICE], ["10.244.0.7"]],
  ["not what ends elsewhere", [from("203.0.113.9", 22, "10.244.0.7")], [WEB], []],
  ["not the node's own", [from("192.0.2.1"), from("127.0.0.1", 22, "127.0.0.1")], [WEB], []],
  ["nothing if pods are meant", [from("203.0.113.9")], ["endpointSelector: {}, ingress: []"], []],
  ["nothing if only egress is", [from("203.0.113.9")], ["nodeSelector: {}, egress: [{}]"], []],
])("finds %s", async (_name, open, specs, expected) => {
  const cuts = await guardOf(open).cutBy(repositoryOf(...specs), NOTHING, undefined);
  expect(cuts.map(({ peer }) => peer)).toEqual(expected);
});

it("asks what addresses would be, not what they are under the policies in force", async () => {
  // In a group that the change takes away from the prefix.
  const rows = [...ROWS, { prefix: OFFICE, identity: OFFICE_ID + 1 }];
  const guard = guardOf([from("198.51.100.4")], { ipcache: () => rows });
  expect(await guard.cutBy(repositoryOf(BY_OFFICE), NOTHING, undefined)).toEqual([]);
});

it("does not count what is cut already", async () => {
  const guard = guardOf([from("203.0.113.9"), from("203.0.113.9", 80)]);
  const deny = "nodeSelector: {}, ingressDeny: [{fromEntities: [all]}]";
  const cuts = await guard.cutBy(repositoryOf(WEB, deny), repositoryOf(WEB), undefined);
  expect(cuts.map(({ localPort }) => localPort)).toEqual([80]);
});

it("sees pods only where nothing comes in from outside", async () => {
  const guard = guardOf([from("203.0.113.9"), from("10.244.0.7")], { policesOutside: false });
  const cuts = await guard.cutBy(repositoryOf(WEB), NOTHING, undefined);
  expect(cuts.map(({ peer }) => peer)).toEqual(["10.244.0.7"]);
});

it("names the caller's own first, once, and the policies", async () => {
  const own = from("203.0.113.9");
  const guard = guardOf([from("203.0.113.8"), { ...own }]);
  const cuts = await guard.cutBy(repositoryOf(WEB), NOTHING, own);
  expect(cuts.map(({ peer, isCallers }) => [peer, isCallers])).toEqual([
    ["203.0.113.9", true],
    ["203.0.113.8", false],
  ]);
  expect(cutText(cuts)).toBe(
    "the connection 203.0.113.9:40000 -> 192.0.2.1:22, by which you came (no rule allows it, and " +
      "CiliumClusterwideNetworkPolicy p0 closes what none allows), and 1 more",
  );
  const denied = await guardOf([from("203.0.113.9")]).cutBy(
    repositoryOf("nodeSelector: {}, ingressDeny: [{fromEntities: [all]}]"),
    NOTHING,
    undefined,
  );
  expect(cutText(denied)).toContain("(denied by CiliumClusterwideNetworkPolicy p0)");
});
