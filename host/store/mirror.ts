/**
 * A copy of everything below a prefix of a shared store, kept up to date: listed, then watched from
 * that revision on. When the watch ends it lists again and tells only the difference: the store may
 * have forgotten that revision, or be another one by now. A store that does not answer leaves the
 * copy as it was; an agent that starts then begins with the copy of the one before it.
 */
import type { Logger } from "pino";
import type { SharedEvent, SharedStore } from "./shared-store.ts";
import type { Store } from "./store.ts";

export interface MirrorDeps {
  store: SharedStore;
  log: Logger;
  prefix: string;
  /** Called with what changed, in order; never with what the copy held already. */
  onChange: (events: readonly Pick<SharedEvent, "key" | "value">[]) => void;
  /** Where the copy is kept over a restart; absent: nowhere, the store is on this node anyway. */
  memory?: Store | undefined;
  /** For so long a key that is gone stays in the copy: see LINGER_MS. Default 0. */
  lingerMs?: number;
  retryMs?: number;
}

/**
 * When an agent's lease is revoked, or the whole store is emptied, keys go whose owners are well,
 * and who write them again at their next look (RENEWAL_MS in host/agent/identities.ts, and what the
 * store takes to answer). Until then nobody may take their pods for the outside world.
 */
export const LINGER_MS = 15_000;

const RETRY_MS = 1_000;
/** Changes of this long are written to the memory together. */
const SAVE_DELAY_MS = 1_000;

export class Mirror {
  readonly #deps: MirrorDeps;
  readonly #log: Logger;
  readonly #values = new Map<string, string>();
  /** Of the copy, gone from the store: when they go here too (monotonic). In that order. */
  readonly #leaving = new Map<string, number>();
  #leavingTimer: NodeJS.Timeout | undefined;
  #revision = 0;
  /** True while the copy follows the store. */
  #current = false;
  #stopWatch: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #saving: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(deps: MirrorDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "store", prefix: deps.prefix });
  }

  /** What the copy holds, by key. */
  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** False: the store did not answer when it was asked last, and the copy may be old. */
  get isCurrent(): boolean {
    return this.#current;
  }

  /** Settles after the first look, also when the store did not answer; it is asked again then. */
  async start(): Promise<void> {
    await this.#list();
    if (this.#revision > 0) return;
    const saved = this.#deps.memory?.get(this.#memoryKey())?.value;
    if (saved === undefined) return;
    const rows = JSON.parse(saved) as [key: string, value: string][];
    this.#take(rows.map(([key, value]) => ({ key, value })));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#leavingTimer);
    this.#stopWatch?.();
    if (this.#saving !== undefined) this.#save();
  }

  async #list(): Promise<void> {
    try {
      const { rows, revision } = await this.#deps.store.list(this.#deps.prefix);
      if (this.#closed) return;
      const present = new Set(rows.map(({ key }) => key));
      const gone = [...this.#values.keys()].filter((key) => !present.has(key));
      this.#take([...gone.map((key) => ({ key, value: undefined })), ...rows]);
      this.#revision = revision;
      this.#current = true;
      this.#watch();
    } catch (error) {
      this.#later(error);
    }
  }

  #watch(): void {
    this.#stopWatch = this.#deps.store.watch(this.#deps.prefix, this.#revision, {
      changed: (events) => {
        this.#take(events);
      },
      ended: (reason) => {
        this.#stopWatch = undefined;
        if (this.#closed) return;
        this.#current = false;
        if (reason === "compacted") void this.#list();
        else this.#again();
      },
    });
  }

  /** A watch that cannot begin ends at once; the pause breaks the circle. */
  #again(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#list(), this.#deps.retryMs ?? RETRY_MS).unref();
  }

  #later(error: unknown): void {
    if (this.#closed) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#log.warn({ reason }, "a shared prefix is not watched");
    this.#current = false;
    this.#again();
  }

  /** Puts at once; deletions when they have lingered. */
  #take(events: readonly Pick<SharedEvent, "key" | "value">[]): void {
    const { lingerMs = 0 } = this.#deps;
    const now = events.filter(({ key, value }) => {
      if (value !== undefined) this.#leaving.delete(key);
      const lingers = value === undefined && lingerMs > 0 && this.#values.has(key);
      if (lingers && !this.#leaving.has(key)) this.#leaving.set(key, performance.now() + lingerMs);
      return !lingers;
    });
    this.#tell(now);
    this.#awaitLeaving();
  }

  #awaitLeaving(): void {
    const [next] = this.#leaving.values();
    if (next === undefined || this.#leavingTimer !== undefined || this.#closed) return;
    this.#leavingTimer = setTimeout(() => {
      this.#leavingTimer = undefined;
      const gone = [...this.#leaving].filter(([, dueMs]) => dueMs <= performance.now());
      for (const [key] of gone) this.#leaving.delete(key);
      this.#tell(gone.map(([key]) => ({ key, value: undefined })));
      this.#awaitLeaving();
    }, next - performance.now()).unref();
  }

  #tell(events: readonly Pick<SharedEvent, "key" | "value">[]): void {
    const news = events.filter(({ key, value }) => {
      if (this.#values.get(key) === value) return false;
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
      return true;
    });
    if (news.length === 0) return;
    this.#deps.onChange(news.map(({ key, value }) => ({ key, value })));
    if (this.#deps.memory === undefined) return;
    this.#saving ??= setTimeout(() => this.#save(), SAVE_DELAY_MS).unref();
  }

  #save(): void {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    this.#deps.memory?.put(this.#memoryKey(), JSON.stringify([...this.#values]));
  }

  #memoryKey(): string {
    return `shared-copies/${this.#deps.prefix}`;
  }
}
