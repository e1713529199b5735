/** The list of fields: complete, current in the documentation, and as the refusals have it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { APPLY_FEATURES } from "../enforce/policy-reader.ts";
import { fieldRows, fieldsMarkdown } from "./fields.ts";
import { REFUSALS } from "./refusal.ts";
import { CASES } from "./testing/refusals.ts";

const rows = fieldRows(APPLY_FEATURES);
const stateOf = (path: string) => rows.filter((row) => row.path === path).map((row) => row.support);

test("docs/policy-support.md lists the fields as they are (`imker policy fields --markdown`)", () => {
  const page = readFileSync(new URL("../../docs/policy-support.md", import.meta.url), "utf8");
  expect(page).toContain(fieldsMarkdown(rows));
});

test.each([
  ["spec.ingress[].fromEndpoints[]", "enforced"],
  ["spec.ingress[].fromRequires[]", "refused: it was removed from the language"],
  ["spec.ingressDeny[].toPorts[].rules", "refused: is not allowed in a deny rule"],
  ["spec.egress[].toFQDNs[].matchName", `refused on apply: ${REFUSALS.fqdns.message}`],
  [
    "spec.ingress[].fromNodes[]",
    "enforced with the agent's --node-selector-labels, otherwise refused on apply",
  ],
  [
    "spec.ingress[].authentication.mode",
    `enforced, but required, test-always-fail refused on apply: ${REFUSALS.authentication.message}`,
  ],
  ["spec.externalCIDRs[]", "enforced"],
  ["spec.egress[].toPorts[].listener.priority", `refused on apply: ${REFUSALS.listeners.message}`],
])("%s is %s", (path, state) => {
  expect(stateOf(path)).toContain(state);
});

test.each([
  ["domainNames[]", `refused on apply: ${REFUSALS.fqdns.message}`],
  ["nodes", "enforced with the agent's --node-selector-labels, otherwise refused on apply"],
])("%s of a peer is the same in every kind with tiers", (field, state) => {
  const states = stateOf(`spec.egress[].to[].${field}`);
  expect(states.length).toBeGreaterThan(1);
  expect(new Set(states)).toEqual(new Set([state]));
});

test("every refusal stands at a field", () => {
  const bare = fieldRows({});
  for (const [name, { message }] of Object.entries(REFUSALS)) {
    const option = "option" in REFUSALS[name as keyof typeof REFUSALS];
    const found = bare.some(({ support }) => support.includes(option ? "agent's --" : message));
    expect(found, name).toBe(true);
  }
});

test("no field that apply refuses is listed as enforced", () => {
  for (const [name, path] of CASES) {
    const field = path.replaceAll(/\[\d+\]/g, "[]");
    const listed = fieldRows({}).filter(
      (row) =>
        row.path === field || row.path.startsWith(`${field}.`) || row.path.startsWith(`${field}[]`),
    );
    expect(listed.length, `${name} ${path}`).toBeGreaterThan(0);
    const all = listed.filter(({ support }) => support === "enforced");
    // Tiers and names of ports are refused as a whole at a field that other kinds have too.
    if (!["tiers", "namedPorts"].includes(name)) expect(all, `${name} ${path}`).toEqual([]);
  }
});
