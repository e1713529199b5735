/**
 * What a policy change makes of a live connection: its sides under the policy as it is now, or
 * nothing when it may not go on.
 */
import { type Connection, POINT, type PolicySide } from "./connection.ts";
import type { PolicyLookup } from "./policy.ts";
import type { RuleStore } from "./rule-store.ts";

export interface ReevaluateDeps {
  policy: PolicyLookup;
  rules: RuleStore;
}

/**
 * Undefined: denied on either side, or the rules it now needs have no form for the version that
 * serves it. With no L7 rules left on either side both rule sets are 0: everything is allowed, and
 * the plugin still reports it.
 */
export function reevaluate(
  connection: Connection,
  deps: ReevaluateDeps,
): readonly [PolicySide, PolicySide] | undefined {
  const egress = sideNow(connection, connection.sides[0], deps);
  const ingress = sideNow(connection, connection.sides[1], deps);
  return egress === undefined || ingress === undefined ? undefined : [egress, ingress];
}

function sideNow(
  connection: Connection,
  side: PolicySide,
  { policy, rules }: ReevaluateDeps,
): PolicySide | undefined {
  if (side.endpoint === 0) return side;
  const { facts } = connection;
  const egress = side.point === POINT.egress;
  const verdict = policy.verdict({
    endpoint: side.endpoint,
    point: side.point,
    peer: egress ? facts.destinationIdentity : facts.sourceIdentity,
    port: facts.destinationPort,
  });
  switch (verdict.kind) {
    case "denied":
      return undefined;
    case "allowed":
      return { ...side, ruleSet: 0, cookie: verdict.cookie };
    case "redirect": {
      const { digest } = connection.pooled.image;
      if (rules.form(verdict.ruleSet, digest) === undefined) return undefined;
      return { ...side, ruleSet: verdict.ruleSet, cookie: verdict.cookie };
    }
  }
}
