/**
 * The prefilter as the agent has it: the list, on disk and in the kernel, and where it is attached.
 * A change is durable before it is in force, and in force when it is answered; changes follow one
 * another, and a long one lets others have their turn. The program is on the interfaces only while
 * the list has something to drop.
 */
import { setImmediate } from "node:timers/promises";
import type { Logger } from "pino";
import type { Native } from "../native/index.ts";
import { finishInTurns } from "../piecework.ts";
import { type CounterRow, decodeCounters } from "./counters.ts";
import { Generations, isDenied, type Lists } from "./generations.ts";
import { COUNTERS } from "./layout.ts";
import { ListFile, textOf } from "./list-file.ts";
import { type PrefilterDevice, PrefilterPins } from "./pins.ts";
import { formatDenied, type Prefix, PrefixError, parseDenied } from "./prefix.ts";
import { PREFIXES_MAX, readingPrefixes } from "./text-list.ts";

/** A change of more prefixes is made by building the list anew. */
const CHANGES_ONE_BY_ONE_MAX = 1000;
const US_PER_MS = 1000;

export interface PrefilterParts {
  native: Native;
  log: Logger;
  bpffs: string;
  stateDir: string;
  /** Interfaces to the outside. */
  devices: readonly string[];
  /** At most one drop event of a CPU in this time. */
  eventIntervalMs: number;
  /** Ring of the datapath's events. */
  eventsFd: number;
}

export interface PrefilterStatus {
  /** Prefixes as they were given. */
  ipv4: number;
  ipv6: number;
  /** Kernel memory of the list. */
  bytes: number;
  bytesPerPrefix: number;
  devices: PrefilterDevice[];
  counters: CounterRow;
}

export interface PrefilterChange {
  added: number;
  deleted: number;
  /** Prefixes in the list now. */
  prefixes: number;
}

export class Prefilter {
  readonly #parts: PrefilterParts;
  readonly #file: ListFile;
  readonly #pins: PrefilterPins;
  readonly #generations: Generations;
  #lists: Lists;
  #devices: PrefilterDevice[] = [];
  /** The kernel has an older list, because it could not take this one. */
  #isBehind = false;
  #tail: Promise<unknown> = Promise.resolve();

  /** Puts the stored list in force, in one step over what an earlier agent left. */
  constructor(parts: PrefilterParts) {
    this.#parts = parts;
    this.#file = new ListFile(parts.stateDir);
    this.#lists = this.#file.read();
    this.#pins = new PrefilterPins(parts.native, parts.bpffs, parts.eventsFd);
    this.#generations = new Generations(parts.native, {
      groups: this.#pins.map("groups"),
      leaves: this.#pins.map("leaves"),
      nodes: this.#pins.map("nodes"),
      tails: this.#pins.map("tails"),
      settings: this.#pins.map("prefilter_config"),
    });
    this.#generations.setEventInterval(parts.eventIntervalMs * US_PER_MS);
    this.#generations.replace(this.#lists);
    this.#pins.adopt(parts.devices);
    this.#attach();
  }

  /** @throws PrefixError, and then nothing was changed. */
  async add(texts: readonly string[]): Promise<PrefilterChange> {
    const prefixes = unique(texts);
    return this.#serial(async () => {
      const fresh = prefixes.filter((one) => !this.#lists[one.family].has(one));
      if (this.#size + fresh.length > PREFIXES_MAX) {
        throw new PrefixError(`Cannot add: the list would have more than ${PREFIXES_MAX} prefixes`);
      }
      await this.#change(fresh, true);
      return { added: fresh.length, deleted: 0, prefixes: this.#size };
    });
  }

  /** @throws PrefixError, and then nothing was changed. */
  async delete(texts: readonly string[]): Promise<PrefilterChange> {
    const prefixes = unique(texts);
    return this.#serial(async () => {
      const gone = prefixes.filter((one) => this.#lists[one.family].has(one));
      await this.#change(gone, false);
      return { added: 0, deleted: gone.length, prefixes: this.#size };
    });
  }

  /** Replaces the whole list. @throws PrefixError; after any error nothing was changed. */
  async load(text: string): Promise<PrefilterChange> {
    const lists = await finishInTurns(readingPrefixes(text));
    return this.#serial(async () => {
      const before = this.#size;
      const made = await finishInTurns(this.#generations.preparing(lists));
      try {
        await this.#file.replace(lists);
      } catch (error) {
        this.#generations.drop(made);
        throw error;
      }
      this.#lists = lists;
      this.#generations.activate(made);
      this.#isBehind = false;
      this.#attach();
      return { added: this.#size, deleted: before, prefixes: this.#size };
    });
  }

  /** The list, one prefix a line. */
  text(): Promise<string> {
    return this.#serial(async () => {
      const pieces: string[] = [];
      for (const piece of textOf(this.#lists)) {
        pieces.push(piece);
        await setImmediate();
      }
      return pieces.join("");
    });
  }

  /** Would a packet from this address be dropped? @throws PrefixError */
  denies(address: string): boolean {
    const one = parseDenied(address);
    return isDenied(this.#lists[one.family], one);
  }

  status(): PrefilterStatus {
    const { bytes } = this.#generations;
    return {
      ipv4: this.#lists[4].size,
      ipv6: this.#lists[6].size,
      bytes,
      bytesPerPrefix: this.#size === 0 ? 0 : Math.round((bytes / this.#size) * 10) / 10,
      devices: this.#devices,
      counters: this.#counters(),
    };
  }

  /** Attaches it again where an interface has come anew, or somebody has taken it off. */
  lookAgain(): void {
    if (this.#size > 0) this.#attach();
  }

  /** What keeps it from dropping what it is told to; empty when all is well. */
  get troubles(): string[] {
    const behind = "prefilter: the last change is not in force; the next one tries again";
    return [
      ...(this.#isBehind ? [behind] : []),
      ...this.#devices
        .filter(({ detail }) => detail !== "")
        .map(({ name, detail }) => `prefilter on ${name}: ${detail}`),
    ];
  }

  /** The kernel goes on with the list as it is. */
  close(): void {
    this.#generations.close();
    this.#pins.close();
  }

  get #size(): number {
    return this.#lists[4].size + this.#lists[6].size;
  }

  async #change(prefixes: readonly Prefix[], added: boolean): Promise<void> {
    const sign = added ? "+" : "-";
    await this.#file.append(prefixes.map((one) => `${sign}${formatDenied(one)}`));
    let inPlace = prefixes.length <= CHANGES_ONE_BY_ONE_MAX && !this.#isBehind;
    for (const one of prefixes) {
      const list = this.#lists[one.family];
      if (added) list.add(one);
      else list.delete(one);
      inPlace &&= this.#generations.change(list, one, added);
    }
    if (!inPlace) await this.#rebuild();
    this.#attach();
    await this.#file.compact(this.#lists);
  }

  async #rebuild(): Promise<void> {
    try {
      this.#generations.activate(await finishInTurns(this.#generations.preparing(this.#lists)));
      this.#isBehind = false;
    } catch (error) {
      this.#isBehind = true;
      throw error;
    }
  }

  #serial<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => {}); // Whoever asked for it is told.
    return result;
  }

  #attach(): void {
    const { devices, log } = this.#parts;
    if (this.#size === 0) {
      for (const name of devices) this.#pins.detach(name);
      const detail = "";
      this.#devices = devices.map((name) => ({ name, attached: false, detail }));
      return;
    }
    const before = new Set(this.troubles);
    this.#devices = devices.map((name) => this.#pins.attach(name));
    for (const trouble of this.troubles) if (!before.has(trouble)) log.warn(trouble);
  }

  #counters(): CounterRow {
    const { native } = this.#parts;
    const values = new Uint8Array(COUNTERS.size * native.possibleCpus());
    native.mapLookup(this.#pins.map("counters"), new Uint8Array(4), values);
    return decodeCounters(values);
  }
}

function unique(texts: readonly string[]): Prefix[] {
  const prefixes = texts.map(parseDenied);
  return [...new Map(prefixes.map((one) => [formatDenied(one), one])).values()];
}
