/** Something a person asked to have explained and that cannot be read or found. */
export class ExplainInputError extends Error {
  override readonly name = "ExplainInputError";
  /** As an HTTP status. */
  readonly status: 400 | 404;

  constructor(message: string, status: 400 | 404 = 400) {
    super(message);
    this.status = status;
  }
}
