/**
 * What goes wrong with plugins and keys, each with the HTTP status under which the admin API shows
 * it (host/admin/problem.ts reads `status` of any error).
 */

/** The operator, or the bytes uploaded, asked for something that cannot be done as things are. */
export class PluginRequestError extends Error {
  override readonly name = "PluginRequestError";
  readonly status: 400 | 404 | 409 | 413 | 422 | 429 | 503;

  constructor(status: PluginRequestError["status"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** Why nobody vouches for a package. */
export type DistrustReason =
  | "unsigned"
  | "unknown-key"
  | "other-name"
  | "not-yet-valid"
  | "no-longer-valid"
  | "revoked"
  | "bad-signature";

/** No key that this node trusts vouches for the package. */
export class UntrustedError extends Error {
  override readonly name = "UntrustedError";
  readonly status = 422;
  /** Of the signature that came closest. */
  readonly reason: DistrustReason;

  constructor(reason: DistrustReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
