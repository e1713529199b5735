/**
 * Policies in the agent's store: one row each, the revision, and the change that waits to be
 * confirmed, all written together.
 */
import {
  documentKey,
  type PolicyDocument,
  type PolicyFileDeps,
  type PolicyRepository,
  parsePolicyFile,
} from "../policy/index.ts";
import type { Store, StoreRow } from "../store/store.ts";
import {
  type ChangedPolicy,
  type Pending,
  PendingChange,
  type PolicyRow,
} from "./pending-change.ts";

const REVISION = "policy-revision";
const FOLDER = "policies/";
const keyOf = (document: Parameters<typeof documentKey>[0]): string =>
  FOLDER + documentKey(document);

export interface PolicyStoreDeps {
  store: Store;
  parsing: PolicyFileDeps;
}

export class PolicyStore {
  readonly #store: Store;
  readonly #language: PolicyFileDeps;

  constructor({ store, parsing }: PolicyStoreDeps) {
    this.#store = store;
    // Not held against plugins again: a version activated since must not keep the agent from
    // starting. What no plugin takes shows in `policyConditions`.
    this.#language = { ...parsing };
    delete this.#language.plugins;
  }

  /** Throws when a policy is refused: an agent must not enforce less by forgetting it. */
  restoreInto(repository: PolicyRepository): void {
    const rows = this.#store.list(FOLDER).map(rowOf);
    for (const row of rows.sort((a, b) => a.revision - b.revision)) {
      for (const document of this.#read(row)) repository.restore(document, row.revision);
    }
    repository.startAt(Number(this.#store.get(REVISION)?.value ?? 0));
  }

  /** What `changed` has come to since it was copied from what the store has. */
  write(changed: PolicyRepository, pending?: Pending): void {
    const { stored, deleted } = changed.changes();
    const rows = [{ key: REVISION, value: String(changed.revision) }];
    if (pending !== undefined) rows.push(PendingChange.row(pending));
    for (const { document, revision } of stored) {
      const row: PolicyRow = { object: document.object, file: document.source.file, revision };
      rows.push({ key: keyOf(document), value: JSON.stringify(row) });
    }
    this.#store.putAll(
      rows,
      deleted.map((key) => FOLDER + key),
    );
  }

  /** The documents, which are to get this revision, with what the store has instead of each. */
  changesOf(documents: readonly PolicyDocument[], revision: number): ChangedPolicy[] {
    return documents.map(({ kind, namespace, name }) => {
      const row = this.#store.get(keyOf({ kind, namespace, name }));
      const before = row === undefined ? {} : { before: rowOf(row) };
      return { ...{ kind, namespace, name, revision }, ...before };
    });
  }

  /**
   * Puts what was there in the place of each policy that has not been changed again since, and
   * returns those.
   */
  undo(changes: readonly ChangedPolicy[], repository: PolicyRepository): ChangedPolicy[] {
    const undone = changes.filter((one) => {
      const row = this.#store.get(keyOf(one));
      return row !== undefined && rowOf(row).revision === one.revision;
    });
    for (const one of undone) {
      if (one.before === undefined) repository.delete(one);
      else repository.upsertAll(this.#read(one.before));
    }
    return undone;
  }

  #read({ object, file }: PolicyRow): PolicyDocument[] {
    const { documents, errors } = parsePolicyFile(JSON.stringify(object), file, this.#language);
    const [error] = errors;
    if (error === undefined) return documents;
    throw new Error(`Cannot restore the policy of ${file}: ${error.path} ${error.message}`);
  }
}

function rowOf(row: StoreRow): PolicyRow {
  return JSON.parse(row.value) as PolicyRow;
}
