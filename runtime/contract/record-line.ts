/** A record as one readable line: how cases, vectors and tests write what a plugin emitted. */

const KINDS = ["request", "response"] as const;
const VERDICTS = ["forwarded", "denied", "error"] as const;
const DENIED = 1;

export interface NamedRecord {
  kind: number;
  verdict: number;
  /** Counts with verdict denied. */
  stage: number;
  exchange: number;
  /** By the names of the manifest. */
  fields: readonly (readonly [name: string, value: string])[];
}

export function recordLine({ kind, verdict, stage, exchange, fields }: NamedRecord): string {
  const by = verdict === DENIED ? ` by stage ${stage}` : "";
  const said = VERDICTS[verdict] ?? `verdict ${verdict}`;
  const head = `${KINDS[kind] ?? "request"} ${exchange} ${said}${by}`;
  return [head, ...fields.map(([name, value]) => `${name}=${value}`)].join(" ");
}
