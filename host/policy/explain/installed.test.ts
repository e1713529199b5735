/** A kernel's map that decides otherwise than the policies is a fault; one that agrees is none. */
import { expect, it, test } from "vitest";
import { resolvePolicy } from "../resolver.ts";
import { CLIENT, cnp, IDENTITIES, port80, repositoryOf, SUBJECT } from "../testing/small-world.ts";
import { explainDirection } from "./direction.ts";
import { type InstalledRow, withInstalled } from "./installed.ts";
import { endView, withDirections } from "./trace.ts";
import type { DirectionView, TraceEnd, TraceView } from "./types.ts";

const PORT = { protocol: 6, port: 80, text: "80/TCP" };
const end = (identity: TraceEnd["identity"]): TraceEnd => ({
  ...{ name: "pod", kind: "pod", identity, isHypothetical: false },
  ...{ namespace: "default", namedPorts: [] },
});
const CLIENTS = "fromEndpoints: [{matchLabels: {app: client}}]";

function explain(
  rules: string,
  peer: TraceEnd = end(CLIENT),
): { view: DirectionView; rows: InstalledRow[] } {
  const repository = repositoryOf(cnp("a", rules));
  const { entries } = resolvePolicy(repository, IDENTITIES, SUBJECT);
  const view = explainDirection({
    ...{ direction: "ingress", subject: end(SUBJECT.identity), peer },
    ...{ port: PORT, rules: [...repository.rules()], mode: "default", hostAccess: "always" },
  });
  const rows = entries.map(({ l7, origins: _, ...row }) => ({
    ...row,
    ...{ redirect: l7 !== undefined, ruleSet: l7 ? 3 : 0, cookie: 7 },
  }));
  return { view, rows };
}

const compare = (
  view: DirectionView,
  rows: InstalledRow[],
  lag?: string,
  peer = CLIENT.id,
): DirectionView =>
  withInstalled(view, { rows, originsOf: () => [], ...(lag ? { lag } : {}) }, peer, PORT);

test.each([
  ["an allow", `ingress: [{${CLIENTS}}]`],
  ["a redirect", `ingress: [{${CLIENTS}, ${port80("http: [{method: GET}]")}}]`],
  ["a deny", `ingressDeny: [{${CLIENTS}}]`],
  ["nothing", "ingress: [{}]"],
])("%s as it is installed", (_name, rules) => {
  const { view, rows } = explain(rules);
  const compared = compare(view, rows);
  expect(compared.fault).toBeUndefined();
  expect(compared.installed?.entry?.action).toBe(view.entry?.action);
});

it("names what is there and what should be", () => {
  const { view, rows } = explain(`ingress: [{${CLIENTS}}]`);
  const [allow] = rows.filter(({ direction }) => direction === "ingress");
  if (!allow) throw new Error("no entry");
  expect(compare(view, []).fault).toBe(
    `the kernel's map has no entry for this packet, the policies come to allow for identity 257 ` +
      `on every port with precedence 0x${allow.precedence.toString(16)}`,
  );
  const wrong = compare(view, [{ ...allow, deny: true, precedence: allow.precedence + 254 }]);
  expect(wrong.fault).toMatch(/^the kernel's map has deny for identity 257/);
  expect(compare(view, [], "revision 1 of 2").fault).toMatch(/\(revision 1 of 2\)$/);
});

it("lets a plugin that is not there pass only where the policy says so", () => {
  const http = `ingress: [{${CLIENTS}, ${port80("http: [{method: GET}]")}}]`;
  const { view, rows } = explain(http);
  const plain = rows.map((row) => ({ ...row, redirect: false }));
  expect(compare(view, plain).fault).toBeDefined();
  const open = { ...view, ...(view.l7 ? { l7: { ...view.l7, failure: "open" } } : {}) };
  expect(compare(open, plain).fault).toBeUndefined();
  expect(compare(open, plain)).toMatchObject({
    verdict: "allow",
    reason:
      "CiliumNetworkPolicy default/a allows it; it passes unseen: there is no plugin l7-http that " +
      "can serve it",
  });
});

it("denies what has L7 rules that no plugin serves", () => {
  const http = `ingress: [{${CLIENTS}, ${port80("http: [{method: GET}]")}}]`;
  const { view, rows } = explain(http);
  const unserved = compare(
    view,
    rows.map((row) => ({ ...row, ruleSet: 0 })),
  );
  const egress: DirectionView = { ...view, direction: "egress", verdict: "allow" };
  expect(unserved.fault).toBeUndefined();
  expect(unserved).toMatchObject({
    verdict: "no-plugin",
    reason:
      "CiliumNetworkPolicy default/a allows it, but there is no plugin l7-http that can serve it",
  });
  const before: TraceView = {
    ...{ source: endView(end(CLIENT)), destination: endView(end(SUBJECT.identity)) },
    ...{
      verdict: "allowed",
      ports: [{ port: "80/TCP", verdict: "allowed", egress, ingress: view }],
    },
  };
  const traced = withDirections(before, ({ direction }) =>
    direction === "ingress" ? unserved : egress,
  );
  expect([traced.verdict, traced.ports[0]?.verdict]).toEqual(["denied", "denied"]);
});

it("has no fault in what the node may do, whoever serves the rules", () => {
  const host: TraceEnd = { ...end({ id: 1, labels: [] }), kind: "node" };
  const { view, rows } = explain(`ingress: [{${port80("http: [{method: GET}]")}}]`, host);
  expect(view).toMatchObject({ verdict: "allow", entry: { action: "redirect" } });
  const unserved = rows.map((row) => ({ ...row, ruleSet: 0 }));
  const open = rows.map((row) => ({ ...row, redirect: false, ruleSet: 0 }));
  for (const installed of [rows, unserved, open]) {
    const compared = compare(view, installed, undefined, 1);
    expect(compared).toMatchObject({ verdict: "allow" });
    expect(compared.fault).toBeUndefined();
  }
});
