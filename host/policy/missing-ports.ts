/**
 * Ports that say no number. Whether that means all ports or is an error is the agent's
 * `--extended-ip-protocols`, so it is not the schema's to say.
 */
import type { FieldPath, FieldProblem } from "./problem.ts";
import { fieldsOf, isRecord, itemsOf, textOf } from "./schema/field.ts";
import { l7KindOf } from "./schema/l7.ts";
import { isExtendedProtocol, L7_PORT_ZERO, PORT_EXPECTED } from "./schema/port.ts";

/**
 * `object`: a Cilium policy as written, right or wrong. Protocols without ports are left out. Where
 * ports may be missing (`mayMiss`), they still may not beside L7 rules, as no port means port 0.
 */
export function missingPorts(object: unknown, mayMiss: boolean): FieldProblem[] {
  const { spec, specs } = fieldsOf(object);
  return [
    ...inRule(spec, ["spec"], mayMiss),
    ...itemsOf(specs).flatMap((rule, index) => inRule(rule, ["specs", index], mayMiss)),
  ];
}

function inRule(rule: unknown, path: FieldPath, mayMiss: boolean): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const direction of ["ingress", "ingressDeny", "egress", "egressDeny"]) {
    for (const [i, item] of itemsOf(fieldsOf(rule)[direction]).entries()) {
      for (const [j, portRule] of itemsOf(fieldsOf(item).toPorts).entries()) {
        if (mayMiss && l7KindOf(fieldsOf(fieldsOf(portRule).rules)) === undefined) continue;
        for (const [k, port] of itemsOf(fieldsOf(portRule).ports).entries()) {
          if (!isRecord(port) || isExtendedProtocol(textOf(port.protocol))) continue;
          if (port.port !== undefined && port.port !== "") continue;
          const place = [...path, direction, i, "toPorts", j, "ports", k, "port"];
          problems.push({
            path: place,
            message: mayMiss ? L7_PORT_ZERO : "port must be specified",
            expected: PORT_EXPECTED,
          });
        }
      }
    }
  }
  return problems;
}
