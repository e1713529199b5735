/**
 * Lines that plugins write, on their way to the agent: each version may say so much in a second,
 * the rest is counted.
 */
import type { LogBody } from "../contract/records.ts";
import { FRAME } from "../contract/records.ts";
import type { PluginImage } from "../isolate/types.ts";
import type { WorkerCounters } from "./counters.ts";
import type { RecordWriter } from "./record-writer.ts";

/** Of one version in this worker. */
const LINES_PER_SECOND_MAX = 20;
const LEVELS: readonly LogBody["level"][] = ["debug", "info", "warn", "error"];

export interface PluginLogDeps {
  records: RecordWriter;
  counters: WorkerCounters;
  log: (level: LogBody["level"], message: string, plugin?: string) => void;
}

export class PluginLog {
  readonly #deps: PluginLogDeps;
  /** Lines of this second, by digest. */
  readonly #lines = new Map<string, number>();
  #second = 0;

  constructor(deps: PluginLogDeps) {
    this.#deps = deps;
  }

  /** `serial`: of the connection whose bytes the plugin handles; 0 for none. */
  line(image: PluginImage, level: number, message: string, at: { serial: number; nowMs: number }) {
    const second = Math.floor(at.nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines.clear();
    }
    const lines = this.#lines.get(image.digest) ?? 0;
    this.#lines.set(image.digest, lines + 1);
    if (lines >= LINES_PER_SECOND_MAX) {
      this.#deps.counters.log_lines_dropped++;
      return;
    }
    const { name, version } = image.manifest;
    const body: LogBody = {
      plugin: { name, version, digest: image.digest },
      level: LEVELS[level] ?? "error",
      message,
    };
    this.#deps.records.event(FRAME.log, at.serial, body);
    this.#deps.log(body.level, message, name);
  }
}
