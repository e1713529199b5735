/** What every part of the agent is made with; main.ts makes it first. */
import type { Logger } from "pino";
import type { AgentOptions } from "../options.ts";
import type { ApiCertificate } from "./api-certificate.ts";
import type { Lifetime } from "./lifetime.ts";

export interface Base {
  options: AgentOptions;
  log: Logger;
  life: Lifetime;
  /** Read before anything starts: a wrong file must not be found out half-way. */
  certificate: ApiCertificate | undefined;
}

export const AGENT_VERSION = "0.1.0";
