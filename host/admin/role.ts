/** Roles of the admin API; each may do what those before it may. */

/** What a token can have. */
export const TOKEN_ROLES = ["viewer", "operator", "admin"] as const;

export type TokenRole = (typeof TOKEN_ROLES)[number];

/** What a route can need; `none` is open to everybody, also without a token. */
export type Role = "none" | TokenRole;

/** Undefined: a caller without a token. */
export function roleSuffices(role: TokenRole | undefined, needed: Role): boolean {
  const ranks: readonly Role[] = ["none", ...TOKEN_ROLES];
  return ranks.indexOf(role ?? "none") >= ranks.indexOf(needed);
}
