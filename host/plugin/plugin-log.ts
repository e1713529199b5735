/**
 * The last lines that plugins wrote, in memory: a ring for each plugin name, and those who follow
 * one. Lines come from sandboxed code, so everything about them is bounded; the proxy has limited
 * their length and their rate already.
 */
import type { LogBody } from "../../runtime/contract/records.ts";
import { PluginRequestError } from "./errors.ts";

/** Of one plugin; the oldest goes. */
export const LOG_LINES_MAX = 1000;
/** Plugins with a ring; the one that was silent longest goes. */
const LOG_PLUGINS_MAX = 256;
/** Readers that follow at the same time; one more is refused. */
const FOLLOWERS_MAX = 64;

export interface LogLine {
  /** RFC 3339. */
  time: string;
  plugin: string;
  version: string;
  digest: string;
  level: LogBody["level"];
  message: string;
}

interface Follower {
  plugin: string;
  /** At most LOG_LINES_MAX; then the newest are lost and counted. */
  waiting: LogLine[];
  lost: number;
  /** Set while the reader waits. */
  wake?: () => void;
}

export class PluginLog {
  /** In order of the last line, the latest last. */
  readonly #rings = new Map<string, LogLine[]>();
  readonly #followers = new Set<Follower>();

  /** @param time Milliseconds since 1970. */
  add({ plugin, level, message }: LogBody, time: number): void {
    const { name, version, digest } = plugin;
    const line = { time: new Date(time).toISOString(), plugin: name, version, digest };
    this.#push({ ...line, level, message });
  }

  last(name: string, count: number): LogLine[] {
    return count === 0 ? [] : (this.#rings.get(name) ?? []).slice(-count);
  }

  /**
   * The last `count` lines and then what comes, until `signal`. A reader that is too slow loses
   * lines and reads how many. Throws PluginRequestError (429) when too many follow.
   */
  follow(name: string, count: number, signal: AbortSignal): AsyncGenerator<LogLine> {
    if (this.#followers.size >= FOLLOWERS_MAX) {
      throw new PluginRequestError(429, `Cannot follow the log: ${FOLLOWERS_MAX} follow already`);
    }
    const follower: Follower = { plugin: name, waiting: this.last(name, count), lost: 0 };
    this.#followers.add(follower);
    signal.addEventListener(
      "abort",
      () => {
        this.#followers.delete(follower);
        follower.wake?.();
      },
      { once: true },
    );
    return this.#read(follower, signal);
  }

  async *#read(follower: Follower, signal: AbortSignal): AsyncGenerator<LogLine> {
    try {
      while (!signal.aborted) {
        yield* taken(follower);
        if (follower.waiting.length > 0 || signal.aborted) continue;
        const { promise, resolve } = Promise.withResolvers<void>();
        follower.wake = resolve;
        await promise;
      }
    } finally {
      this.#followers.delete(follower);
    }
  }

  #push(line: LogLine): void {
    const ring = this.#rings.get(line.plugin) ?? [];
    ring.push(line);
    if (ring.length > LOG_LINES_MAX) ring.shift();
    this.#rings.delete(line.plugin);
    this.#rings.set(line.plugin, ring);
    const [quietest] = this.#rings.keys();
    if (this.#rings.size > LOG_PLUGINS_MAX && quietest !== undefined) this.#rings.delete(quietest);
    for (const follower of this.#followers) {
      if (follower.plugin !== line.plugin) continue;
      if (follower.waiting.length < LOG_LINES_MAX) follower.waiting.push(line);
      else follower.lost += 1;
      follower.wake?.();
    }
  }
}

function taken(follower: Follower): LogLine[] {
  const lines = follower.waiting.splice(0);
  const { lost } = follower;
  follower.lost = 0;
  const last = lines.at(-1);
  if (lost === 0 || last === undefined) return lines;
  const message = `${lost} lines lost: the reader was too slow`;
  return [...lines, { ...last, level: "warn", message }];
}
