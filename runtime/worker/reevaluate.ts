/**
 * What a policy change makes of live connections: each asks for its verdict under the policy as it
 * is now. One that may not go on, or that would now have to be decided about but was not from its
 * first byte, is closed.
 */
import type { FailurePolicy, RuleMode } from "../contract/control.ts";
import { type Connection, POINT, type PolicySide, stageSides } from "./connection.ts";
import type { Connections } from "./connections.ts";
import type { WorkerCounters } from "./counters.ts";
import type { PolicyLookup } from "./policy.ts";
import type { RuleStore } from "./rule-store.ts";

export interface ReevaluationDeps {
  policy: PolicyLookup;
  rules: RuleStore;
  connections: Connections;
  counters: WorkerCounters;
  log: (level: "error", message: string) => void;
}

type Sides = readonly [PolicySide, PolicySide];

export class Reevaluation {
  readonly #deps: ReevaluationDeps;

  constructor(deps: ReevaluationDeps) {
    this.#deps = deps;
  }

  run(endpoints: readonly number[]): void {
    const { connections, counters } = this.#deps;
    const wanted = new Set(endpoints);
    for (const connection of connections.all()) {
      if (!connection.sides.some((side) => wanted.has(side.endpoint))) continue;
      const sides = this.#sidesNow(connection);
      if (sides !== undefined && this.#adopt(connection, sides)) continue;
      counters.policy_closed++;
      connections.close(connection, "policy", true);
    }
  }

  /**
   * Undefined: denied on either side, or the rules it now needs are not there. With no L7 rules
   * left on either side both rule sets are 0: everything is allowed, and still reported.
   */
  #sidesNow(connection: Connection): Sides | undefined {
    try {
      const [egress, ingress] = connection.sides.map((side) => this.#sideNow(connection, side));
      return egress === undefined || ingress === undefined ? undefined : [egress, ingress];
    } catch (error) {
      // Not knowing is not a permission.
      const reason = error instanceof Error ? error.message : "";
      this.#deps.log("error", `Cannot look up policy again: ${reason}`);
      return undefined;
    }
  }

  #sideNow({ facts }: Connection, side: PolicySide): PolicySide | undefined {
    if (side.endpoint === 0) return side;
    const egress = side.point === POINT.egress;
    const verdict = this.#deps.policy.verdict({
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
      case "redirect":
        if (this.#deps.rules.ruleSet(verdict.ruleSet) === undefined) return undefined;
        return { ...side, ruleSet: verdict.ruleSet, cookie: verdict.cookie };
    }
  }

  /** Puts the sides in force. False: the connection cannot go on under them. */
  #adopt(connection: Connection, sides: Sides): boolean {
    const { connections, rules } = this.#deps;
    const { pooled, tap } = connection;
    const ids = stageSides(sides).map(({ ruleSet }) => ruleSet);
    const terms = ids.length === 0 ? ALLOWED : rules.terms(ids);
    if (terms === undefined) return false;
    // What was passed on unseen until now cannot be decided about from here on.
    const decides = terms.mode === "enforce" && (terms.failure === "closed" || tap !== undefined);
    if (pooled === undefined ? decides : !pooled.hasForms(sides)) return false;
    connection.sides = sides;
    connection.failure = terms.failure;
    if (pooled === undefined) connection.mode = terms.mode;
    connections.announce(connection);
    if (tap !== undefined) connections.taps.setStages(tap, sides);
    if (pooled === undefined) return true;
    try {
      // It is served to its end; under a mode that only looks, nothing is denied any more.
      const stages = terms.mode === "enforce" ? pooled.stages(sides) : [];
      pooled.instance.setStages(connection.handle, stages);
    } catch (error) {
      connections.fault(pooled, error);
    }
    return true;
  }
}

/** No L7 rules any more. */
const ALLOWED: { mode: RuleMode; failure: FailurePolicy } = { mode: "observe", failure: "open" };
