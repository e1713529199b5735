/** Errors of the flow API that are the client's doing; a gRPC server maps `code` to its status. */

export type HubbleErrorCode = "invalid-argument" | "unimplemented";

export class HubbleError extends Error {
  override name = "HubbleError";
  readonly code: HubbleErrorCode;

  constructor(code: HubbleErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}
