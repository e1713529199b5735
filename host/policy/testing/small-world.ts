/** A pod `web` with two peers, policies in short form, and resolved entries as lines to compare. */
import { podLabels } from "../../identity/pod-labels.ts";
import { type ParsedPolicyFile, parsePolicyFile } from "../document.ts";
import { PolicyRepository } from "../repository.ts";
import { type ResolveOptions, resolvePolicy } from "../resolver.ts";
import type { Identity, L7Rules, PolicySubject, ResolvedEntry } from "../types.ts";

const pod = (id: number, app: string): Identity => ({
  id,
  labels: podLabels({ namespace: "default", labels: { app } }),
});
/** Identity 257. */
export const CLIENT = pod(257, "client");
const WEB = pod(256, "web");
export const IDENTITIES = [WEB, CLIENT];
export const SUBJECT: PolicySubject = {
  endpoint: 1,
  identity: WEB,
  namespace: "default",
  name: "web-1",
  namedPorts: [],
};

/** A CiliumNetworkPolicy of `default` for `web`. */
export function cnp(name: string, fields: string, annotations = "{}"): string {
  return (
    `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n` +
    `metadata: {name: ${name}, namespace: default, annotations: ${annotations}}\n` +
    `spec: {endpointSelector: {matchLabels: {app: web}}, ${fields}}\n`
  );
}

/** Annotations. */
export const mode = (value: string): string => `{imker.io/l7-mode: ${value}}`;

/** L7 rules on TCP 80, for `toPorts`. */
export const port80 = (rules: string): string =>
  `toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {${rules}}}]`;

/** A VisibilityPolicy of `default`. */
export function visibility(name: string, fields: string): string {
  return (
    `apiVersion: imker.io/v1alpha1\nkind: VisibilityPolicy\n` +
    `metadata: {name: ${name}, namespace: default}\nspec: {${fields}}\n`
  );
}

export function parse(...texts: string[]): ParsedPolicyFile {
  return parsePolicyFile(texts.join("---\n"), "f.yaml", { checkPattern: () => undefined });
}

/** @throws Error when one of the policies has an error. */
export function repositoryOf(...texts: string[]): PolicyRepository {
  if (texts.length === 0) return new PolicyRepository();
  const { documents, errors } = parse(...texts);
  const [first] = errors;
  if (first) throw new Error(`Cannot read the test's policies: ${first.path}: ${first.message}`);
  const repository = new PolicyRepository();
  if (documents.length > 0) repository.upsertAll(documents);
  return repository;
}

export function resolve(texts: string[], options: ResolveOptions = {}): readonly ResolvedEntry[] {
  return resolvePolicy(repositoryOf(...texts), IDENTITIES, SUBJECT, options).entries;
}

/** `identity protocol:port/prefix verdict`, sorted, of one direction. */
export function lines(entries: readonly ResolvedEntry[], direction = "ingress"): string[] {
  return entries
    .filter((entry) => entry.direction === direction)
    .map(({ identity, protocol, port, portPrefix, deny, l7 }) => {
      const verdict = deny ? "deny" : l7 ? l7Text(l7) : "allow";
      return `${identity} ${protocol}:${port}/${portPrefix} ${verdict}`;
    })
    .sort();
}

/** `plugin@version mode/failure [rules]`, what is as usual left out. */
export function l7Text({ plugin, version, mode, failure, rules }: L7Rules): string {
  const settings = [mode, failure].filter((one) => one !== undefined).join("/");
  const list = rules.map((rule) => rule.map((f) => `${f.key}=${f.value}`).join("&") || "*");
  const name = version === undefined ? plugin : `${plugin}@${version}`;
  return `${name}${settings === "" ? "" : ` ${settings}`} [${list.join(" | ")}]`;
}
