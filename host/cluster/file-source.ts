/**
 * Cluster state from files: a YAML file or a folder of them, read at start and whenever something
 * in it changes. A file with an error changes nothing: what it said before stays.
 */
import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import type { Logger } from "pino";
import { readClusterFile } from "./read.ts";
import type { ClusterObject, ClusterProblem, ClusterSource } from "./types.ts";

/** Editors write in several steps; a change is read once it has been quiet this long. */
const SETTLE_MS = 100;
/** Of a folder; with more of them it is not read at all, and says so. */
const FILES_MAX = 1_000;

export interface FileSourceDeps {
  log: Pick<Logger, "error">;
  /** Gets everything there is, once before the constructor returns and then on each change. */
  replace: (objects: readonly ClusterObject[]) => void;
}

export class ClusterFiles implements ClusterSource {
  readonly #path: string;
  readonly #deps: FileSourceDeps;
  readonly #watcher: FSWatcher;
  /** Of every file, as it was when it last had no error. */
  readonly #objects = new Map<string, readonly ClusterObject[]>();
  #problems: readonly ClusterProblem[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @throws the system's error if the path is not there. */
  constructor(path: string, deps: FileSourceDeps) {
    this.#path = path;
    this.#deps = deps;
    // A file is often replaced by a new one of its name, so its folder is watched.
    const isFolder = statSync(path).isDirectory();
    this.#watcher = watch(isFolder ? path : dirname(path), () => this.#settle());
    this.#read();
  }

  get problems(): readonly ClusterProblem[] {
    return this.#problems;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher.close();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), SETTLE_MS);
  }

  #read(): void {
    const problems: ClusterProblem[] = [];
    try {
      const files = filesOf(this.#path);
      for (const file of this.#objects.keys()) {
        if (!files.includes(file)) this.#objects.delete(file);
      }
      for (const file of files) problems.push(...this.#readFile(file));
    } catch (error) {
      problems.push(problemOf(this.#path, error));
    }
    this.#problems = problems;
    for (const problem of problems) {
      this.#deps.log.error({ ...problem }, "a file of the cluster's state is not used");
    }
    this.#deps.replace([...this.#objects.values()].flat());
  }

  #readFile(file: string): ClusterProblem[] {
    try {
      const { objects, problems } = readClusterFile(readFileSync(file, "utf8"), file);
      if (problems.length === 0) this.#objects.set(file, objects);
      return problems;
    } catch (error) {
      return [problemOf(file, error)];
    }
  }
}

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const files = readdirSync(path).filter((name) => /\.(ya?ml|json)$/.test(name));
  if (files.length > FILES_MAX) {
    throw new Error(`Cannot read ${path}: it holds ${files.length} files, over ${FILES_MAX}`);
  }
  return files.sort().map((name) => join(path, name));
}

function problemOf(file: string, error: unknown): ClusterProblem {
  const message = error instanceof Error ? error.message : String(error);
  return { file, document: 0, path: "", message, expected: "a file that can be read" };
}
