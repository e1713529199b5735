/** `policy trace --offline`: policy files alone, without an agent and whatever it knows. */
import type { TraceRequest } from "../admin/explain-types.ts";
import type { ApplyResult } from "../admin/types.ts";
import { APPLY_FEATURES } from "../enforce/policy-reader.ts";
import { PrefixLabels } from "../identity/prefix-labels.ts";
import { findEnd } from "../policy/explain/end.ts";
import { ExplainInputError } from "../policy/explain/input-error.ts";
import { parsePorts } from "../policy/explain/port.ts";
import { traceConnection } from "../policy/explain/trace.ts";
import type { TraceView } from "../policy/explain/types.ts";
import { PolicyRepository, PolicySayings } from "../policy/index.ts";
import { CliError, EXIT } from "./errors.ts";
import { readLocally } from "./local-validate.ts";

const CLUSTER = "default";

export type LocalTrace = TraceView & Pick<ApplyResult, "warnings">;

/** Throws CliError for ends and ports that cannot be read. `errors`: of the files. */
export function traceLocally(
  request: TraceRequest,
): LocalTrace | Pick<ApplyResult, "errors" | "warnings"> {
  const { documents, errors, warnings } = readLocally(request.files, true);
  if (errors.length > 0) return { errors, warnings };
  const repository = new PolicyRepository({
    cluster: CLUSTER,
    features: APPLY_FEATURES,
  });
  if (documents.length > 0) repository.upsertAll(documents);
  const rules = [...repository.rules()];
  const said = new PolicySayings().of(rules, repository.sources.cidrGroups());
  const world = {
    ...{ cluster: CLUSTER, endpoints: [], identities: [], prefixes: [] },
    labels: new PrefixLabels().with(said),
  };
  try {
    const source = findEnd(request.source, world, 0);
    const destination = findEnd(request.destination, world, 1);
    const ports = parsePorts(request.ports, destination.namedPorts);
    return { ...traceConnection({ source, destination, ports, rules }), warnings };
  } catch (error) {
    if (!(error instanceof ExplainInputError)) throw error;
    throw new CliError(EXIT.user, error.message, { cause: error });
  }
}
