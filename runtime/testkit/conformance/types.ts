/** What a check of the conformance kit is: a question about a package, answered with numbers. */
import type { PluginPackage } from "../../contract/package.ts";
import type { HostImports, PluginImage, PluginInstance } from "../../isolate/types.ts";
import type { Vector } from "../vectors.ts";

/** The package under check, read and prepared. */
export interface Subject {
  package: PluginPackage;
  image: PluginImage;
  /** Of the section `imker:vectors`; at least one. */
  vectors: readonly Vector[];
  /** A fresh instance. */
  instantiate(imports: HostImports): PluginInstance;
  options: CheckOptions;
}

export interface CheckOptions {
  /** Of everything random. */
  seed: number;
  /** Messages of the check for growth. */
  messages: number;
  /** Mutated versions of each vector. */
  mutations: number;
  /** Host functions the operator grants. */
  grants: readonly string[];
}

export interface CheckAnswer {
  ok: boolean;
  /** One line, with the numbers. */
  detail: string;
  /** What is wrong, in full. */
  findings?: string[];
  figures?: Record<string, number>;
}

export interface Check {
  name: string;
  run(subject: Subject): CheckAnswer | Promise<CheckAnswer>;
}

export interface CheckLine extends CheckAnswer {
  name: string;
}
