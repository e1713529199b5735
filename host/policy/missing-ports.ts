/**
 * Ports that say no number. Whether that means all ports or is an error is the agent's
 * `--extended-ip-protocols`, so it is not the schema's to say.
 */
import type { FieldPath, FieldProblem } from "./problem.ts";
import { fieldsOf, isRecord, itemsOf, textOf } from "./schema/field.ts";
import { isExtendedProtocol, PORT_EXPECTED } from "./schema/port.ts";

/** `object`: a Cilium policy as written, right or wrong. Protocols without ports are left out. */
export function missingPorts(object: unknown): FieldProblem[] {
  const { spec, specs } = fieldsOf(object);
  return [
    ...inRule(spec, ["spec"]),
    ...itemsOf(specs).flatMap((rule, index) => inRule(rule, ["specs", index])),
  ];
}

function inRule(rule: unknown, path: FieldPath): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const direction of ["ingress", "ingressDeny", "egress", "egressDeny"]) {
    for (const [i, item] of itemsOf(fieldsOf(rule)[direction]).entries()) {
      for (const [j, portRule] of itemsOf(fieldsOf(item).toPorts).entries()) {
        for (const [k, port] of itemsOf(fieldsOf(portRule).ports).entries()) {
          if (!isRecord(port) || isExtendedProtocol(textOf(port.protocol))) continue;
          if (port.port !== undefined && port.port !== "") continue;
          const place = [...path, direction, i, "toPorts", j, "ports", k, "port"];
          problems.push({
            path: place,
            message: "port must be specified",
            expected: PORT_EXPECTED,
          });
        }
      }
    }
  }
  return problems;
}
