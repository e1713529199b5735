/**
 * States of native plugins for tests: rule sets 1 and 3 of plugin `line`, 2 of plugin `pass`, and
 * the versions of `line` that a test wants, whose digests say what is different about them.
 */
import type { FailurePolicy, RuleMode, Trial } from "../../contract/control.ts";
import type { StateChange } from "../rule-store.ts";
import { nativeImage } from "./native-plugin.ts";

/** Rule set ids that every rig has. */
export const RULES = { line: 1, pass: 2, otherLine: 3, unknown: 99 } as const;

export interface NativeStateOptions {
  revision?: number;
  /** Versions of `line`. */
  versions?: readonly string[];
  /** The one that serves; default the first. */
  active?: string | null;
  trial?: Trial;
  /** Of rule set 1; the others are enforced, and closed. */
  mode?: RuleMode;
  failure?: FailurePolicy;
  draining?: StateChange["draining"];
}

/** A trial of `digest` with a share of 1000 that never stops. */
export function trialOf(digest: string, kind: Trial["kind"], change: Partial<Trial> = {}): Trial {
  const stopOn = { faults: 1e9, differences: 1e9, fuelRatio: 0, callMicros: 0 };
  return { id: `trial of ${digest}`, kind, digest, share: 1000, ruleSets: [], stopOn, ...change };
}

export function nativeState(options: NativeStateOptions = {}): StateChange {
  const { versions = ["line"], trial, mode = "enforce", failure = "closed" } = options;
  const { active = versions[0] ?? null } = options;
  const strict = { mode: "enforce", failure: "closed" } as const;
  const form = (ruleSet: number, digest: string) => ({
    ruleSet,
    digest,
    compiled: new TextEncoder().encode(`rules ${ruleSet}`).buffer,
    patterns: [],
  });
  return {
    revision: options.revision ?? 1,
    images: [...versions, "pass"].map(nativeImage),
    ruleSets: [
      { id: RULES.line, plugin: "line", mode, failure },
      { id: RULES.pass, plugin: "pass", ...strict },
      { id: RULES.otherLine, plugin: "line", ...strict },
    ],
    forms: [
      ...versions.flatMap((digest) => [form(RULES.line, digest), form(RULES.otherLine, digest)]),
      form(RULES.pass, "pass"),
    ],
    keepPlugins: [...versions, "pass"],
    keepRuleSets: [RULES.line, RULES.pass, RULES.otherLine],
    services: [
      { plugin: "line", active, ...(trial === undefined ? {} : { trial }) },
      { plugin: "pass", active: "pass" },
    ],
    draining: options.draining ?? [],
  };
}
