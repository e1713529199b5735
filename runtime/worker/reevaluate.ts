/**
 * What a policy change makes of live connections: each asks for its verdict under the policy as it
 * is now. One that may not go on, or that would now have to be decided about but was not from its
 * first byte, is closed.
 */
import type { FailurePolicy, RuleMode } from "../contract/control.ts";
import { type Connection, POINT, type PolicySide, printAddress, stageSides } from "./connection.ts";
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

interface SideNow {
  side: PolicySide;
  /** Nothing depends on it: it gives way, and its plugin may be another one. */
  watch: boolean;
}

/** A connection has one plugin: a side that only watches gives way (bpf/lib/connection.h). */
function settle(
  { pooled }: Connection,
  egress: SideNow,
  ingress: SideNow,
  rules: RuleStore,
): Sides {
  const digest = pooled?.image.digest;
  const without = ({ side, watch }: SideNow, other: boolean): PolicySide => {
    if (!watch || side.ruleSet === 0) return side;
    const serves = digest !== undefined && rules.form(side.ruleSet, digest) !== undefined;
    return other || !serves ? { ...side, ruleSet: 0 } : side;
  };
  const to = without(ingress, egress.side.ruleSet !== 0 && !egress.watch);
  return [without(egress, to.ruleSet !== 0), to];
}

type Sides = readonly [PolicySide, PolicySide];

export class Reevaluation {
  readonly #deps: ReevaluationDeps;

  constructor(deps: ReevaluationDeps) {
    this.#deps = deps;
  }

  /** `relabelled`: addresses with another identity than their connections have. */
  run(endpoints: readonly number[], relabelled: readonly string[] = []): void {
    const { connections, counters } = this.#deps;
    const wanted = new Set(endpoints);
    const ended = new Set(relabelled);
    for (const connection of connections.all()) {
      const isRelabelled = ended.size > 0 && hasAddress(connection, ended);
      if (!isRelabelled) {
        if (!connection.sides.some((side) => wanted.has(side.endpoint))) continue;
        const sides = this.#sidesNow(connection);
        if (sides !== undefined && this.#adopt(connection, sides)) continue;
      }
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
      return egress === undefined || ingress === undefined
        ? undefined
        : settle(connection, egress, ingress, this.#deps.rules);
    } catch (error) {
      // Not knowing is not a permission.
      const reason = error instanceof Error ? error.message : "";
      this.#deps.log("error", `Cannot look up policy again: ${reason}`);
      return undefined;
    }
  }

  #sideNow({ facts }: Connection, side: PolicySide): SideNow | undefined {
    if (side.endpoint === 0) return { side, watch: false };
    const egress = side.point === POINT.egress;
    const known = egress ? facts.destinationIdentity : facts.sourceIdentity;
    const address = egress ? facts.destinationAddress : facts.sourceAddress;
    const { policy } = this.#deps;
    const verdict = policy.verdict({
      endpoint: side.endpoint,
      point: side.point,
      peer: isOfWorld(known) ? (policy.identityOf(address) ?? known) : known,
      port: facts.destinationPort,
    });
    switch (verdict.kind) {
      case "denied":
        return undefined;
      case "allowed":
        return { side: { ...side, ruleSet: 0, cookie: verdict.cookie }, watch: false };
      case "redirect": {
        const { ruleSet, cookie, watch = false } = verdict;
        if (!watch && this.#deps.rules.ruleSet(ruleSet) === undefined) return undefined;
        return { side: { ...side, ruleSet, cookie }, watch };
      }
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
    connection.recording?.lacks("its rules changed while it was open");
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

/** Such an address may get another identity with any change of what is known of it. */
function isOfWorld(identity: number): boolean {
  return WORLD.includes(identity) || identity >>> 24 === LOCAL_SCOPE;
}

function hasAddress({ facts }: Connection, addresses: ReadonlySet<string>): boolean {
  const { sourceAddress, destinationAddress } = facts;
  return [sourceAddress, destinationAddress].some((one) => addresses.has(printAddress(one)));
}

/** Numbers of the world, and the top byte of those that only this node knows (Cilium's). */
const WORLD: readonly number[] = [2, 9, 10];
const LOCAL_SCOPE = 1;

/** No L7 rules any more. */
const ALLOWED: { mode: RuleMode; failure: FailurePolicy } = { mode: "observe", failure: "open" };
