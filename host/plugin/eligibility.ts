/**
 * Whether a version may serve: its file is whole, a key counts for it at this moment, and it is not
 * a step back that nobody asked for. What was good once is asked the same again.
 */
import type { Logger } from "pino";
import type { Activations } from "./activations.ts";
import { PluginRequestError } from "./errors.ts";
import type { InstalledVersion, InstalledVersions } from "./installed-versions.ts";
import { compareVersions } from "./semver.ts";
import type { Trust } from "./trust.ts";

export interface EligibilityDeps {
  log: Logger;
  versions: InstalledVersions;
  activations: Activations;
  trust: Trust;
  /** Milliseconds since 1970. */
  now: () => number;
}

export class Eligibility {
  readonly #deps: EligibilityDeps;

  constructor(deps: EligibilityDeps) {
    this.#deps = deps;
  }

  /** Throws PluginRequestError (409), UntrustedError. */
  mayServe(row: InstalledVersion, allowDowngrade: boolean): void {
    const { versions, activations } = this.#deps;
    this.#vouchedFor(row);
    const { active } = activations.of(row.name);
    const serving = active === undefined ? undefined : versions.byDigest(active);
    if (allowDowngrade || serving === undefined) return;
    if (compareVersions(row.version, serving.version) >= 0) return;
    throw new PluginRequestError(
      409,
      `Cannot activate ${row.name} ${row.version}: ${serving.version} is active and higher; ` +
        "allow the downgrade (--allow-downgrade) if you mean it",
    );
  }

  /** The newest that served before and may again; undefined when there is none. */
  lastKnownGood(name: string): InstalledVersion | undefined {
    for (const digest of this.#deps.activations.of(name).good.toReversed()) {
      const row = this.#deps.versions.byDigest(digest);
      if (row === undefined) continue;
      try {
        this.#vouchedFor(row);
        return row;
      } catch (error) {
        this.#deps.log.warn({ error, plugin: name, version: row.version }, "not fallen back to");
      }
    }
    return undefined;
  }

  #vouchedFor(row: InstalledVersion): void {
    const { versions, trust, now } = this.#deps;
    let content: ReturnType<InstalledVersions["package"]>["content"];
    try {
      ({ content } = versions.package(row.digest));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new PluginRequestError(409, `Cannot use ${row.name} ${row.version}: ${reason}`, {
        cause,
      });
    }
    trust.check(content, now());
  }
}
