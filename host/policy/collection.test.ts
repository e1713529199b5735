/**
 * A collection of policies as people write them (testdata/): all are valid, together they have
 * every field of every language, and what of them apply refuses is listed here.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { validateForApply } from "./apply.ts";
import { type PolicyDocument, parsePolicyFile, policyKeyText } from "./document.ts";
import { fieldRows } from "./fields.ts";
import { SCHEMAS } from "./kinds.ts";
import type { ApplyFeatures } from "./refusal.ts";
import { PolicyRepository } from "./repository.ts";

const FOLDER = new URL("./testdata/", import.meta.url);
const FILES = readdirSync(FOLDER).map((name) => ({
  name,
  text: readFileSync(new URL(name, FOLDER), "utf8"),
}));
const ALL: ApplyFeatures = {
  peerNamedPorts: true,
  hostFirewall: true,
  tiers: true,
  nodeSelectorLabels: true,
  extendedProtocols: true,
};

const parsed = FILES.map(({ name, text }) =>
  parsePolicyFile(text, name, { checkPattern: () => undefined }),
);
const documents: PolicyDocument[] = parsed.flatMap((one) => one.documents);

test("all of them are valid, and there are enough", () => {
  expect(parsed.flatMap(({ errors }) => errors)).toEqual([]);
  expect(documents.length).toBeGreaterThanOrEqual(65);
});

/** What is left when every option and every part of the agent is there. */
const REFUSED: Readonly<Record<string, string[]>> = {
  "CiliumNetworkPolicy shop/names": ["rules.dns", "toFQDNs"],
  "CiliumNetworkPolicy shop/cloud-groups": ["fromGroups", "fromGroups", "toGroups", "toGroups"],
  "CiliumNetworkPolicy shop/header-actions": ["secret", "secret", "mismatch"],
  "CiliumNetworkPolicy shop/dns-visibility": ["rules.dns"],
  "CiliumNetworkPolicy shop/kafka-topics": ["rules.kafka", "rules.kafka"],
  "CiliumNetworkPolicy shop/tls-interception": [
    ...["terminatingTLS", "originatingTLS", "toFQDNs"],
    ...["terminatingTLS", "originatingTLS", "serverNames"],
  ],
  "CiliumNetworkPolicy shop/server-names": ["serverNames", "serverNames"],
  "CiliumNetworkPolicy shop/envoy-listener": ["listener"],
  "CiliumNetworkPolicy shop/mutual-authentication": ["authentication.mode"],
  "CiliumClusterwideNetworkPolicy nodes-resolve-names": ["rules.dns"],
  "CiliumClusterwideNetworkPolicy clusterwide-listener": ["listener"],
  "ClusterNetworkPolicy updates-by-name": ["domainNames"],
  "AdminNetworkPolicy pods-and-names": ["domainNames"],
};

test.each(documents.map((document) => [policyKeyText(document), document] as const))(
  "%s is applied, or refused for what it should be",
  (name, document) => {
    const paths = validateForApply(document, ALL).map(({ path }) => path);
    const ends = REFUSED[name] ?? [];
    expect(paths).toHaveLength(ends.length);
    for (const [index, end] of ends.entries()) expect(paths[index]).toMatch(new RegExp(`${end}$`));
    const repository = new PolicyRepository({ features: ALL });
    if (ends.length === 0) repository.upsertAll([document]);
    else expect(() => repository.upsertAll([document])).toThrow("Cannot apply");
    expect([...repository.rules()].every(({ items }) => items.every(({ peers }) => peers))).toBe(
      true,
    );
  },
);

describe("every field is in it", () => {
  const used = new Set(documents.flatMap((one) => [...pathsOf(one.object, one.kind)]));
  const wanted = fieldRows(ALL)
    .filter(({ support }) => !support.startsWith("refused: "))
    .flatMap(({ kinds, path }) => ({ kind: kinds[0] ?? "", path }));

  test.each(Object.keys(SCHEMAS).filter((kind) => kind !== "CiliumClusterwideNetworkPolicy"))(
    "of %s",
    (kind) => {
      const missing = wanted
        .filter((row) => row.kind === kind && !used.has(`${kind} ${row.path}`))
        .map(({ path }) => path);
      expect(missing).toEqual([]);
    },
  );
});

/** `kind path` of the object, its parts, and theirs, as fields.ts writes paths. */
function* pathsOf(value: unknown, kind: string, path = ""): Generator<string> {
  // The two Cilium kinds have the same fields, and `specs` those of `spec`.
  const name = kind === "CiliumClusterwideNetworkPolicy" ? "CiliumNetworkPolicy" : kind;
  yield `${name} ${path}`;
  if (path === "specs[]") yield* pathsOf(value, kind, "spec");
  if (Array.isArray(value)) for (const item of value) yield* pathsOf(item, kind, `${path}[]`);
  else if (typeof value === "object" && value !== null) {
    for (const [key, field] of Object.entries(value)) {
      yield* pathsOf(field, kind, path === "" ? key : `${path}.${key}`);
    }
  }
}
