/** Text of a cluster-state file to objects, or everything that is wrong with it. */
import { type FieldProblem, formatPath, problemsOf, suggestion } from "../policy/problem.ts";
import { fieldsOf, itemsOf } from "../policy/schema/field.ts";
import { readYaml, type YamlDocument } from "../policy/yaml-file.ts";
import { KIND_READERS } from "./schema.ts";
import type { ClusterObject, ClusterProblem } from "./types.ts";

const KINDS = Object.keys(KIND_READERS);

export interface ReadCluster {
  objects: ClusterObject[];
  problems: ClusterProblem[];
}

/** With a problem there are no objects. Never throws. */
export function readClusterFile(text: string, file: string): ReadCluster {
  const yaml = readYaml(text);
  const problems: ClusterProblem[] = yaml.errors.map(({ document, message, position }) => ({
    ...{ file, document, path: "", message, expected: "valid YAML" },
    ...position,
  }));
  const objects: ClusterObject[] = [];
  for (const [index, document] of yaml.documents.entries()) {
    if (document.value === undefined) continue;
    for (const { value, path } of objectsOf(document)) {
      const found = readObject(value);
      objects.push(...found.objects);
      for (const problem of found.problems) {
        const place = [...path, ...problem.path];
        problems.push({
          ...{ file, document: index, path: formatPath(place) },
          ...{ message: problem.message, expected: problem.expected },
          ...document.locate(place),
        });
      }
    }
  }
  return { objects: problems.length > 0 ? [] : objects, problems };
}

function objectsOf(document: YamlDocument): { value: unknown; path: (string | number)[] }[] {
  const fields = fieldsOf(document.value);
  const isList = fields.kind === "List" || KINDS.some((kind) => fields.kind === `${kind}List`);
  if (!isList) return [{ value: document.value, path: [] }];
  return itemsOf(fields.items).map((value, index) => ({ value, path: ["items", index] }));
}

function readObject(value: unknown): { objects: ClusterObject[]; problems: FieldProblem[] } {
  const { kind } = fieldsOf(value);
  const reader = typeof kind === "string" ? KIND_READERS[kind] : undefined;
  if (reader === undefined) {
    const message =
      typeof kind === "string"
        ? `unsupported kind ${JSON.stringify(kind)}${suggestion(kind, KINDS)}`
        : "is required";
    const problem = { path: ["kind"], message, expected: `one of ${KINDS.join(", ")}, List` };
    return { objects: [], problems: [problem] };
  }
  const result = reader.schema.safeParse(value);
  if (result.success) return { objects: reader.read(result.data), problems: [] };
  return { objects: [], problems: problemsOf(reader.schema, value, result.error) };
}
