/** Policies that contradict each other in a way no precedence settles. */
import { policyKeyText } from "../document.ts";
import { formatPluginReference } from "../plugin-reference.ts";
import { type Direction, PROTOCOL, type RuleL7 } from "../rule.ts";
import type { PolicyOrigin } from "../types.ts";
import { type PortKey, portKeyParts } from "./port-key.ts";

/** The policy of an endpoint cannot be computed; what was in force should stay. */
export class PolicyConflictError extends Error {
  override name = "PolicyConflictError";
  readonly policies: readonly PolicyOrigin[];

  constructor(message: string, policies: readonly PolicyOrigin[]) {
    super(message);
    this.policies = policies;
  }
}

interface Parser {
  l7: RuleL7;
  origin?: PolicyOrigin | undefined;
}

/** @throws PolicyConflictError naming both policies, unless one plugin version can serve both. */
export function refuseOtherParser(a: Parser, b: Parser, direction: Direction, key: PortKey): void {
  const left = a.l7.rules;
  const right = b.l7.rules;
  const samePlugin = left.plugin === right.plugin;
  const pinned = left.version !== undefined && right.version !== undefined;
  if (samePlugin && (!pinned || left.version === right.version)) return;
  const { protocol, port, prefix } = portKeyParts(key);
  const last = port + 2 ** (16 - prefix) - 1;
  const range = last === port ? `${port}` : `${port}-${last}`;
  // L7 rules are for TCP; what is only watched may be of another protocol.
  const place = `${direction} on ${range}/${protocol === PROTOCOL.tcp ? "TCP" : protocol}`;
  const policies = [a.origin, b.origin].filter((origin) => origin !== undefined);
  throw new PolicyConflictError(
    `Cannot merge L7 rules for ${place}: ${policyName(a.origin)} asks for ${parserName(a)}, ` +
      `${policyName(b.origin)} for ${parserName(b)}`,
    policies,
  );
}

function parserName({ l7: { rules } }: Parser): string {
  const { plugin: name, version } = rules;
  return formatPluginReference(version === undefined ? { name } : { name, version });
}

function policyName(origin: PolicyOrigin | undefined): string {
  return origin ? policyKeyText(origin) : "no policy";
}
