/** What a rule's JSON Schema says is wrong, in the words that every error of a policy has. */
import type { ErrorObject } from "ajv/dist/2020.js";
import { type FieldPath, type FieldProblem, kindOf, suggestion } from "./problem.ts";
import { fieldsOf, itemsOf } from "./schema/field.ts";

/** Beside the errors of their branches these say nothing more. */
const SILENT: ReadonlySet<string> = new Set(["if", "propertyNames"]);

/** Keyword → words before and behind its bound. */
const BOUNDS: Readonly<Record<string, readonly [string, string]>> = {
  minimum: ["be at least", ""],
  maximum: ["be at most", ""],
  minLength: ["have at least", " characters"],
  maxLength: ["have at most", " characters"],
  minItems: ["have at least", " items"],
  maxItems: ["have at most", " items"],
  minProperties: ["have at least", " fields"],
  maxProperties: ["have at most", " fields"],
};

/** None where another error says it better. */
export function schemaProblem(error: ErrorObject): FieldProblem[] {
  const { keyword, params, data, parentSchema } = error;
  const path = pathOf(error);
  if (SILENT.has(keyword)) return [];
  switch (keyword) {
    case "additionalProperties":
    case "unevaluatedProperties": {
      const name = String(params.additionalProperty ?? params.unevaluatedProperty);
      const known = Object.keys(fieldsOf(parentSchema?.properties));
      const message = `unknown field ${JSON.stringify(name)}${suggestion(name, known)}`;
      const expected = known.length === 0 ? "no field" : `one of ${known.join(", ")}`;
      return [{ path: [...path, name], message, expected }];
    }
    case "required": {
      const name = String(params.missingProperty);
      return [{ path: [...path, name], message: "is required", expected: "a value" }];
    }
    case "type": {
      const types = Array.isArray(params.type) ? params.type.join(" or ") : String(params.type);
      return [{ path, message: `must be ${types}, not ${kindOf(data)}`, expected: types }];
    }
    case "enum": {
      const values = itemsOf(params.allowedValues).map(String);
      const hint = typeof data === "string" ? suggestion(data, values) : "";
      const message = `${JSON.stringify(data)} is not allowed here${hint}`;
      return [{ path, message, expected: `one of ${values.join(", ")}` }];
    }
    default: {
      const [before, behind] = BOUNDS[keyword] ?? [];
      const bound = before && `must ${before} ${params.limit}${behind}`;
      const message = bound ?? error.message ?? `does not fit ${keyword}`;
      return [{ path, message, expected: `what ${keyword} of the plugin's rule schema says` }];
    }
  }
}

/** RFC 6901; an index of a list is a number. */
function pathOf({ instancePath }: ErrorObject): FieldPath {
  if (instancePath === "") return [];
  return instancePath
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}
