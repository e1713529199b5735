/**
 * Policies from a folder of files: applied at start and whenever a file changes. A file with an
 * error changes nothing, says so in the log and in the status; what it held before stays in force.
 */
import { type FSWatcher, readdirSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import type { ApplyResult, PolicyFile, PolicyFileError, PolicyView } from "../admin/types.ts";

/** Editors write in several steps; a change is read once it has been quiet this long. */
const SETTLE_MS = 100;

export interface PolicyFolderDeps {
  log: Logger;
  apply: (files: PolicyFile[], wait: boolean) => Promise<ApplyResult>;
  remove: (kind: string, namespace: string, name: string, wait: boolean) => Promise<unknown>;
  list: () => Pick<PolicyView, "kind" | "namespace" | "name" | "source">[];
}

export class PolicyFolder {
  readonly #folder: string;
  readonly #deps: PolicyFolderDeps;
  readonly #watcher: FSWatcher;
  #timer: NodeJS.Timeout | undefined;
  #errors: PolicyFileError[] = [];
  #tail: Promise<void> = Promise.resolve();

  constructor(folder: string, deps: PolicyFolderDeps) {
    this.#folder = folder;
    this.#deps = deps;
    this.#watcher = watch(folder, () => this.#settle());
    this.#settle();
  }

  /** Of the files as they are now. */
  get errors(): readonly PolicyFileError[] {
    return this.#errors;
  }

  /** Whether a policy of this source is kept in force by a file here. */
  owns(source: string): boolean {
    return source.startsWith(`${this.#folder}/`);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher.close();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#tail = this.#tail.then(() =>
        this.#sync().catch((error: unknown) => {
          this.#deps.log.error({ error, folder: this.#folder }, "cannot read the policy folder");
        }),
      );
    }, SETTLE_MS);
  }

  async #sync(): Promise<void> {
    const files = readdirSync(this.#folder)
      .filter((name) => /\.(ya?ml|json)$/.test(name))
      .sort()
      .map((name) => join(this.#folder, name))
      .map((file) => ({ file, text: readFileSync(file, "utf8") }));
    const nothing: ApplyResult = { applied: [], errors: [], warnings: [] };
    const result = files.length > 0 ? await this.#deps.apply(files, true) : nothing;
    this.#errors = result.errors;
    for (const one of result.warnings) {
      this.#deps.log.warn({ ...one }, "a policy file has a warning");
    }
    for (const error of result.errors) this.#deps.log.error({ ...error }, "policy file refused");
    await this.#removeGone(result, files);
  }

  /** Objects that came from this folder and that no file names any more. */
  async #removeGone(result: ApplyResult, files: PolicyFile[]): Promise<void> {
    const refused = new Set(result.errors.map((error) => error.file));
    const present = new Set(files.map(({ file }) => file));
    const keyOf = (one: { kind: string; namespace: string; name: string }): string =>
      `${one.kind}/${one.namespace}/${one.name}`;
    const applied = new Set(result.applied.map(keyOf));
    for (const view of this.#deps.list()) {
      const ours = this.owns(view.source);
      const kept =
        applied.has(keyOf(view)) || (present.has(view.source) && refused.has(view.source));
      if (ours && !kept) await this.#deps.remove(view.kind, view.namespace, view.name, true);
    }
  }
}
