/**
 * What policies refer to by name and that is no policy: groups of address prefixes and services.
 * Whoever knows the cluster implements it; translate/ asks it, and asks again when it changed.
 */
import type { Prefix } from "../identity/cidr.ts";

export interface CidrGroup {
  name: string;
  labels: Readonly<Record<string, string>>;
  /** By their text. */
  prefixes: ReadonlyMap<string, Prefix>;
}

export interface ServiceInfo {
  namespace: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  /** Labels of its pods; undefined: its backends are listed by hand and may be anywhere. */
  selector: Readonly<Record<string, string>> | undefined;
  /** Addresses of the backends, whatever their state. */
  backends: readonly string[];
}

export interface PolicySources {
  cidrGroups(): Iterable<CidrGroup>;
  services(): Iterable<ServiceInfo>;
}

export const NO_SOURCES: PolicySources = { cidrGroups: () => [], services: () => [] };
