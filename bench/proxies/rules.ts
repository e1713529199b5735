/**
 * The one policy all rows enforce: three rules of method and path, everything else is 403. The
 * measured request matches the second. Each proxy gets the cheapest form it has for them: prefix
 * and exact comparison for haproxy and Envoy, the full-match expressions of a CiliumNetworkPolicy
 * for Imker.
 */
export interface HttpRule {
  method: "GET" | "POST";
  /** RE2, full match, as in a CiliumNetworkPolicy. */
  path: string;
  /** The same without an expression. */
  simple: { kind: "prefix" | "exact"; value: string };
}

export const HTTP_RULES: readonly HttpRule[] = [
  { method: "GET", path: "/public/.*", simple: { kind: "prefix", value: "/public/" } },
  { method: "GET", path: "/api/v1/.*", simple: { kind: "prefix", value: "/api/v1/" } },
  { method: "POST", path: "/api/v1/orders", simple: { kind: "exact", value: "/api/v1/orders" } },
];

export const ALLOWED_PATH = "/api/v1/items/42";
export const DENIED_PATH = "/admin/secrets";
