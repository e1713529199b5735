/**
 * The list in the kernel, in one of two slots of the outer maps. A whole list is built in memory
 * that no program reads yet, and put in force by one word; small changes are made in place.
 */
import type { MapMemory, Native } from "../native/index.ts";
import { finish, type Piecework } from "../piecework.ts";
import { GroupTable, groupsOf, leavesFor } from "./group-table.ts";
import {
  GENERATIONS,
  GROUP_BYTES,
  GROUPS,
  LEAF_BYTES,
  NODE_BYTES,
  SETTINGS,
  TAIL_BYTES,
} from "./layout.ts";
import { NodeTree, nodesFor } from "./node-tree.ts";
import type { Prefix } from "./prefix.ts";
import type { PrefixList } from "./prefix-list.ts";

const MAP_TYPE_ARRAY = 2;
const BPF_F_MMAPABLE = 1 << 10;
const BPF_F_INNER_MAP = 1 << 12;
const ANY = 0;
/** Room for later changes, which use nothing twice: a part of what there is, and at least. */
const ROOM_PART = 0.25;
const ROOM_LEAVES_MIN = 1024;
const ROOM_NODES_MIN = 1024;
/** A change that touches more than this is made by building the list anew. */
const GROUPS_TOUCHED_MAX = 4096;
const NODES_TOUCHED_MAX = 1024;

/** Descriptors of the outer maps and of the settings; owned by the caller. */
export interface PrefilterMaps {
  groups: number;
  leaves: number;
  nodes: number;
  tails: number;
  settings: number;
}

type InnerMap = "groups" | "leaves" | "nodes" | "tails";

/** The lists of both families. */
export interface Lists {
  4: PrefixList;
  6: PrefixList;
}

/** A list as the program reads it. */
export interface Generation {
  /** Of the outer maps. */
  slot: number;
  memories: MapMemory[];
  /** Bytes of all its maps. */
  bytes: number;
  table: GroupTable | undefined;
  tree: NodeTree | undefined;
}

export class Generations {
  readonly #native: Native;
  readonly #maps: PrefilterMaps;
  readonly #settings: MapMemory;
  readonly #active: Uint32Array;
  #current: Generation | undefined;

  constructor(native: Native, maps: PrefilterMaps) {
    this.#native = native;
    this.#maps = maps;
    this.#settings = new native.MapMemory(maps.settings, SETTINGS.size);
    this.#active = new Uint32Array(this.#settings.buffer, SETTINGS.active, 1);
  }

  /** Of the maps that hold the list. */
  get bytes(): number {
    return this.#current?.bytes ?? 0;
  }

  setEventInterval(us: number): void {
    Atomics.store(new Uint32Array(this.#settings.buffer, SETTINGS.event_interval_us, 1), 0, us);
  }

  /** Puts the lists in force as a whole. */
  replace(lists: Lists): void {
    this.activate(finish(this.preparing(lists)));
  }

  /**
   * Builds the lists beside those in force, in kernel memory of their own. Until it is activated
   * nothing else may be changed or prepared.
   */
  *preparing(lists: Lists): Piecework<Generation> {
    const slot = (this.#activeSlot + 1) % GENERATIONS;
    this.#clear(slot);
    const made: Generation = { slot, memories: [], bytes: 0, table: undefined, tree: undefined };
    try {
      yield* this.#buildingIpv4(made, lists[4]);
      yield* this.#buildingIpv6(made, lists[6]);
      return made;
    } catch (error) {
      this.drop(made);
      throw error;
    }
  }

  /** Puts it in force, in one step. */
  activate(made: Generation): void {
    const before = this.#activeSlot;
    Atomics.store(this.#active, 0, made.slot);
    this.#clear(before);
    for (const memory of this.#current?.memories ?? []) memory.close();
    this.#current = made;
  }

  /** Gives up what was prepared. */
  drop(made: Generation): void {
    for (const memory of made.memories) memory.close();
    this.#clear(made.slot);
  }

  /** After `prefix` was added to its list, or deleted from it. False: build the list anew. */
  change(list: PrefixList, prefix: Prefix, added: boolean): boolean {
    if (this.#current === undefined) return false;
    if (prefix.family === 4) return this.#changeIpv4(this.#current, list, prefix);
    return this.#changeIpv6(this.#current, list, prefix, added);
  }

  close(): void {
    for (const memory of this.#current?.memories ?? []) memory.close();
    this.#current = undefined;
    this.#settings.close();
  }

  get #activeSlot(): number {
    return Atomics.load(this.#active, 0) % GENERATIONS;
  }

  *#buildingIpv4(made: Generation, list: PrefixList): Piecework<void> {
    if (list.size === 0) return;
    const leaves = withRoom(leavesFor(list), ROOM_LEAVES_MIN);
    const groups = this.#make(made, "groups", GROUPS, GROUP_BYTES);
    made.table = new GroupTable(groups, this.#make(made, "leaves", leaves, LEAF_BYTES));
    const fits = yield* made.table.compiling(list);
    if (!fits) throw new Error("Cannot build the list: too few leaves");
  }

  *#buildingIpv6(made: Generation, list: PrefixList): Piecework<void> {
    if (list.size === 0) return;
    const nodes = withRoom(nodesFor(list.size), ROOM_NODES_MIN);
    made.tree = new NodeTree(
      this.#make(made, "nodes", nodes, NODE_BYTES),
      this.#make(made, "tails", nodes, TAIL_BYTES),
    );
    yield* made.tree.building(list);
  }

  #changeIpv4({ table }: Generation, list: PrefixList, prefix: Prefix): boolean {
    const [from, to] = groupsOf(prefix);
    if (table === undefined || list.size === 0 || to - from > GROUPS_TOUCHED_MAX) return false;
    return table.compile(list, from, to);
  }

  #changeIpv6({ tree }: Generation, list: PrefixList, prefix: Prefix, added: boolean): boolean {
    if (tree === undefined || list.size === 0) return false;
    // What a shorter prefix denies anyway is not in the tree.
    if (list.covering(prefix) !== undefined) return true;
    const inside: Prefix[] = [];
    for (const one of list.outermostWithin(prefix)) {
      if (inside.push(one) > NODES_TOUCHED_MAX) return false;
    }
    const steps = added
      ? [...inside.map((one) => () => tree.remove(one)), () => tree.insert(prefix)]
      : [() => tree.remove(prefix), ...inside.map((one) => () => tree.insert(one))];
    for (const step of steps) {
      if (!tree.hasRoom) return false;
      step();
    }
    tree.commit();
    return true;
  }

  #make(made: Generation, name: InnerMap, entries: number, rowBytes: number) {
    const sized = name === "groups" ? 0 : BPF_F_INNER_MAP;
    const flags = BPF_F_MMAPABLE | sized;
    const fd = this.#native.mapCreate(MAP_TYPE_ARRAY, `pf_${name}`, 4, rowBytes, entries, flags);
    try {
      const memory = new this.#native.MapMemory(fd, entries * rowBytes);
      made.memories.push(memory);
      made.bytes += entries * rowBytes;
      this.#native.mapUpdate(this.#maps[name], rowKey(made.slot), rowKey(fd), ANY);
      return memory.buffer;
    } finally {
      this.#native.closeFd(fd);
    }
  }

  #clear(slot: number): void {
    for (const name of ["groups", "leaves", "nodes", "tails"] as const) {
      this.#native.mapDelete(this.#maps[name], rowKey(slot));
    }
  }
}

/** Does the family's list hold the address (a prefix of full length)? */
export function isDenied(list: PrefixList, address: Prefix): boolean {
  return list.has(address) || list.covering(address) !== undefined;
}

function withRoom(count: number, roomMin: number): number {
  return count + Math.max(roomMin, Math.ceil(count * ROOM_PART));
}

function rowKey(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
