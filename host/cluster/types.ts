/**
 * What an agent knows of its cluster beside policies and its own pods. Where it comes from is a
 * ClusterSource: files for now, a watch of the Kubernetes API later.
 */
import type { CidrGroup } from "../policy/sources.ts";

export interface ClusterNamespace {
  kind: "namespace";
  name: string;
  labels: Readonly<Record<string, string>>;
}

export interface ClusterService {
  kind: "service";
  namespace: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  /** Undefined: its backends are listed by hand. */
  selector: Readonly<Record<string, string>> | undefined;
}

/** Some of the backends of a service; one service may have several of these. */
export interface ClusterBackends {
  kind: "backends";
  namespace: string;
  service: string;
  /** Addresses, without a prefix length. */
  addresses: readonly string[];
}

/** Objects of one name are one node: what each of them says of it is joined. */
export interface ClusterNode {
  kind: "node";
  name: string;
  labels: Readonly<Record<string, string>>;
  addresses: readonly string[];
  /** It says so itself, through the shared store: the stronger word. */
  isShared?: true;
}

export interface ClusterCidrGroup {
  kind: "cidr-group";
  group: CidrGroup;
}

export type ClusterObject =
  | ClusterNamespace
  | ClusterService
  | ClusterBackends
  | ClusterNode
  | ClusterCidrGroup;

/** Something wrong with where the objects come from. */
export interface ClusterProblem {
  file: string;
  document: number;
  path: string;
  message: string;
  expected: string;
  line?: number;
  column?: number;
}

export interface ClusterSource {
  /** What is wrong with it now; what it said before stays. */
  readonly problems: readonly ClusterProblem[];
  close(): void;
}
