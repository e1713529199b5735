/**
 * What a connection has left at the server to run later without its text: prepared statements and
 * cursors. Each was judged when its text came; all of it is judged again when the policy changes,
 * so nothing depends on which of them the server really has. Names are kept for reports only.
 */
import type { Memory } from "imker/sdk/memory.ts";
import type { Stage } from "imker/sdk/plugin.ts";
import type { Subjects } from "imker/sdk/rule-table.ts";
import type { Items } from "./items.ts";

/** Beyond these, a connection does not outlive a change of its policy; reports lack what it was. */
const KEPT_MAX: i32 = 512;
const NAMES_MAX: i32 = 1024;
const SCRATCH_BYTES: i32 = 256;

export class Prepared {
  /** What a statement or portal of this name does, for reports. */
  readonly statements: Map<string, string> = new Map();
  readonly portals: Map<string, string> = new Map();
  private readonly known: Map<string, bool> = new Map();
  private readonly kinds: i32[] = [];
  /** "=name", or "?" for an unknown table. */
  private readonly tables: string[] = [];
  private overflow: bool = false;
  private unreadable: bool = false;

  /** Remembers all that a text does, which was allowed. */
  keep(items: Items): void {
    if (items.unreadable) this.unreadable = true;
    for (let i = 0; i < items.count; i++) {
      const table = items.known(i) ? `=${items.name(i)}` : "?";
      const key = `${items.kind(i)}${table}`;
      if (this.known.has(key)) continue;
      if (this.kinds.length === KEPT_MAX) {
        this.overflow = true;
        return;
      }
      this.known.set(key, true);
      this.kinds.push(items.kind(i));
      this.tables.push(table);
    }
  }

  /** Whether all that was kept is allowed now; uses `items`. */
  allowed(memory: Memory, stages: Stage[], subjects: Subjects, items: Items): bool {
    if (stages.length === 0) return true;
    if (this.overflow) return false;
    const scratch = memory.allocate(SCRATCH_BYTES);
    let allowed = true;
    for (let i = 0; i < this.kinds.length && allowed; i++) {
      const table = this.tables[i] as string;
      items.reset();
      if (table === "?") items.addUnknown(this.kinds[i] as i32);
      else {
        memory.setText(scratch, table);
        items.add(this.kinds[i] as i32, scratch + 1, memory.textBytes(table) - 1);
      }
      allowed = items.denyingStage(stages, subjects) < 0;
    }
    memory.release(scratch);
    if (allowed && this.unreadable) {
      items.reset();
      items.unreadable = true;
      allowed = items.denyingStage(stages, subjects) < 0;
    }
    return allowed;
  }

  /** Names a statement or portal for reports, if there is room. */
  name(names: Map<string, string>, name: string, shown: string): void {
    if (names.size < NAMES_MAX || names.has(name)) names.set(name, shown);
  }
}
