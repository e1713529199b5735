/** The benchmark's programs with a list of their own, in the prefilter's form and in a trie's. */
import { join } from "node:path";
import { buildFrame } from "../../host/datapath/testdata/frame.ts";
import { type BpfObject, loadNative, type Native } from "../../host/native/index.ts";
import { Generations } from "../../host/prefilter/generations.ts";
import { emptyLists } from "../../host/prefilter/list-file.ts";
import type { Family, Prefix } from "../../host/prefilter/prefix.ts";
import { denyList, type SourceKind, seededWords, sourcesFor } from "./deny-list.ts";

/** As many as bpf/tests/prefilter.c has. */
const SOURCES = 1 << 16;
const SOURCE_BYTES = 16;
const BATCH_ROWS = 1 << 16;

export type ProgramName = "bench_prefilter" | "bench_trie" | "bench_send";

export const FRAMES: Readonly<Record<Family, Uint8Array>> = {
  4: buildFrame({ source: "192.0.2.1", destination: "192.0.2.2", payload: new Uint8Array(20) }),
  6: buildFrame({ source: "2001:db8::1", destination: "2001:db8::2" }),
};

export class PrefilterSubject {
  readonly native: Native = loadNative();
  readonly object: BpfObject;
  readonly generations: Generations;
  readonly lists: Readonly<Record<Family, Prefix[]>>;
  /** Bytes of the list in kernel memory, by family. */
  readonly bytes: Readonly<Record<Family, number>>;

  /** @param prefixes Of each family. */
  constructor(root: string, prefixes: number) {
    this.object = new this.native.BpfObject(join(root, ".build/bpf/tests/prefilter.o"));
    this.object.load();
    const map = (name: string): number => this.object.mapFd(name);
    this.generations = new Generations(this.native, {
      ...{ groups: map("groups"), leaves: map("leaves"), nodes: map("nodes") },
      tails: map("tails"),
      settings: map("prefilter_config"),
    });
    this.generations.setEventInterval(1000);
    const random = seededWords();
    this.lists = { 4: denyList(4, prefixes, random), 6: denyList(6, prefixes, random) };
    this.bytes = { 4: this.#fill([4]), 6: this.#fill([6]) };
    this.#fill([4, 6]);
    for (const family of [4, 6] as const) this.#fillTrie(family);
  }

  /** The sources that packets of this family have from now on. */
  useSources(family: Family, kind: SourceKind = "mixed"): void {
    const rows = new Uint8Array(SOURCES * SOURCE_BYTES);
    const view = new DataView(rows.buffer);
    const addresses = sourcesFor(kind, this.lists[family], SOURCES, seededWords(SOURCES));
    for (const [row, words] of addresses.entries()) {
      for (const [at, word] of words.entries()) view.setUint32(row * SOURCE_BYTES + at * 4, word);
    }
    const keys = new Uint8Array(Uint32Array.from({ length: SOURCES }, (_, at) => at).buffer);
    this.native.mapUpdateBatch(this.object.mapFd("sources"), keys, rows, SOURCES);
  }

  /** Nanoseconds a packet, over so many. */
  run(program: ProgramName, family: Family, packets: number): number {
    const fd = this.object.programFd(program);
    const out = new Uint8Array(FRAMES[family].length);
    return this.native.programTestRun(fd, FRAMES[family], out, null, null, packets).nanoseconds;
  }

  close(): void {
    this.generations.close();
    this.object.close();
  }

  #fill(families: readonly Family[]): number {
    const lists = emptyLists();
    for (const family of families) {
      for (const one of this.lists[family]) lists[family].push(one);
      lists[family].sort();
    }
    this.generations.replace(lists);
    return this.generations.bytes;
  }

  #fillTrie(family: Family): void {
    const list = this.lists[family];
    const addressBytes = family === 4 ? 4 : 16;
    const keyBytes = 4 + addressBytes;
    const keys = new Uint8Array(list.length * keyBytes);
    const view = new DataView(keys.buffer);
    for (const [row, { words, bits }] of list.entries()) {
      view.setUint32(row * keyBytes, bits, true);
      for (const [at, word] of words.entries()) view.setUint32(row * keyBytes + 4 + at * 4, word);
    }
    const fd = this.object.mapFd(`trie${family}`);
    for (let from = 0; from < list.length; from += BATCH_ROWS) {
      const count = Math.min(BATCH_ROWS, list.length - from);
      const rows = keys.subarray(from * keyBytes, (from + count) * keyBytes);
      this.native.mapUpdateBatch(fd, rows, new Uint8Array(count * 4), count);
    }
  }
}
