/** Policies as text, with the least that makes them whole; fields are given in flow style. */

/** A policy of this kind with these fields of its `spec`, named `p`. */
export function policy(kind: string, spec: string): string {
  const versions: Readonly<Record<string, string>> = {
    NetworkPolicy: "networking.k8s.io/v1",
    ClusterNetworkPolicy: "policy.networking.k8s.io/v1alpha2",
    AdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
    BaselineAdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
  };
  const name = kind === "BaselineAdminNetworkPolicy" ? "default" : "p";
  return (
    `apiVersion: ${versions[kind] ?? "cilium.io/v2"}\nkind: ${kind}\n` +
    `metadata: {name: ${name}}\nspec: {${spec}}\n`
  );
}

export const CNP = "CiliumNetworkPolicy";
export const CCNP = "CiliumClusterwideNetworkPolicy";
export const KCNP = "ClusterNetworkPolicy";
export const KNP = "NetworkPolicy";

/** A CiliumNetworkPolicy for every endpoint, with one item of that direction. */
export function item(direction: string, fields: string, kind = CNP): string {
  return policy(kind, `endpointSelector: {}, ${direction}: [{${fields}}]`);
}

/** A ClusterNetworkPolicy of the admin tier for all namespaces, priority 7. */
export function tiered(fields: string): string {
  return policy(KCNP, `tier: Admin, priority: 7, subject: {namespaces: {}}, ${fields}`);
}

/** A group of prefixes. */
export function group(name: string, cidrs: string, labels = "{}"): string {
  return (
    `apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\n` +
    `metadata: {name: ${name}, labels: ${labels}}\nspec: {externalCIDRs: [${cidrs}]}\n`
  );
}
