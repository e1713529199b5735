/** Everything about plugins in the agent, tied to the parts that are made after it. */

import type { PolicyService } from "../enforce/policies.ts";
import type { RuleSets } from "../enforce/rule-sets.ts";
import type { Observer } from "../hubble/observer.ts";
import { createPlugins, type Plugins } from "../plugin/plugins.ts";
import type { ProxySupervisor } from "../proxy/supervisor.ts";
import type { Store } from "../store/store.ts";
import type { Base } from "./base.ts";
import { BUILD } from "./environment.ts";

/** The parts behind `later` are made after the plugins that they need. */
export function startPlugins(
  { options, log, life }: Base,
  store: Store,
  later: {
    proxy: () => ProxySupervisor;
    ruleSets: () => RuleSets;
    observer: () => Observer;
    policies: () => PolicyService;
  },
): Plugins {
  return life.own(
    createPlugins({
      log,
      store,
      stateDir: options.stateDir,
      shippedDir: BUILD.plugins,
      proxyStatus: () => later.proxy().status(),
      proxyInstances: () => later.proxy().instances(),
      compileAll: (name, digest) => later.ruleSets().compileAll(name, digest),
      ruleSetsOf: (name, policies) => later.ruleSets().numbersOf(name, policies),
      references: () => later.ruleSets().references(),
      rulesOf: (ruleSet) => later.ruleSets().rulesOf(ruleSet),
      flowUuid: (time) => later.observer().uuidOf(time),
      recordOf: (uuid) => later.observer().recordOf(uuid),
      applyRecordings: () => later.policies().pluginsChanged(),
    }),
  );
}
