/**
 * Which plugins' connections are recorded, and until when. In memory only: an agent that starts
 * records nothing. A recording ends by itself in the workers, which know its end.
 */
import type { Recording } from "../../runtime/contract/control.ts";
import { PluginRequestError } from "./errors.ts";

/** Of the node; one more is refused. */
const RECORDINGS_MAX = 16;

export interface RecordingRequest {
  /** `namespace/name`; empty: all that ask for the plugin. */
  policies: string[];
  /** Milliseconds. */
  forMs: number;
  /** Of each direction of a connection. */
  bytesMax: number;
}

export interface RecordingEntry extends Omit<RecordingRequest, "forMs"> {
  plugin: string;
  /** Milliseconds since 1970. */
  until: number;
}

export interface RecordingsDeps {
  /** Milliseconds since 1970. */
  now: () => number;
  /** Ids of the rule sets in force that these policies (none: all) have with `name`. */
  ruleSetsOf: (name: string, policies: readonly string[]) => number[];
  /** Settles when every worker has what `forProxy` says. */
  apply: () => Promise<void>;
}

export class Recordings {
  readonly #deps: RecordingsDeps;
  #entries: RecordingEntry[] = [];

  constructor(deps: RecordingsDeps) {
    this.#deps = deps;
  }

  list(name: string): RecordingEntry[] {
    return this.#live().filter(({ plugin }) => plugin === name);
  }

  /** Throws PluginRequestError. */
  async start(name: string, request: RecordingRequest): Promise<RecordingEntry> {
    const { now, ruleSetsOf } = this.#deps;
    const { policies, forMs, bytesMax } = request;
    if (policies.length > 0 && ruleSetsOf(name, policies).length === 0) {
      const what = `none of ${policies.join(", ")} asks for it`;
      throw new PluginRequestError(422, `Cannot record ${name}: ${what}`);
    }
    if (this.#live().length >= RECORDINGS_MAX) {
      const what = `${RECORDINGS_MAX} recordings run; stop one first`;
      throw new PluginRequestError(409, `Cannot record ${name}: ${what}`);
    }
    const entry = { plugin: name, policies, bytesMax, until: now() + forMs };
    this.#entries.push(entry);
    try {
      await this.#apply(`recording ${name}`);
    } catch (error) {
      this.#entries = this.#entries.filter((one) => one !== entry);
      throw error;
    }
    return entry;
  }

  /** Ends all recordings of the plugin. Throws PluginRequestError: it is tried again. */
  async stop(name: string): Promise<RecordingEntry[]> {
    const ended = this.list(name);
    this.#entries = this.#entries.filter(({ plugin }) => plugin !== name);
    if (ended.length > 0) await this.#apply(`the end of recording ${name}`);
    return ended;
  }

  /** As the workers are to have it now. */
  forProxy(): Recording[] {
    return this.#live().flatMap(({ plugin, policies, until, bytesMax }) => {
      const ruleSets = this.#deps.ruleSetsOf(plugin, policies);
      return ruleSets.length === 0 ? [] : [{ ruleSets, until, bytesMax }];
    });
  }

  #live(): RecordingEntry[] {
    this.#entries = this.#entries.filter(({ until }) => until > this.#deps.now());
    return this.#entries;
  }

  async #apply(what: string): Promise<void> {
    try {
      await this.#deps.apply();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new PluginRequestError(503, `Cannot put ${what} in force: ${reason}`, { cause });
    }
  }
}
