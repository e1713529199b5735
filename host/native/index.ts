/**
 * The typed face of the libbpf addon: one function per kernel operation, no policy. Failures throw
 * a `NativeError`. File descriptors are plain numbers, owned by the caller unless said otherwise.
 */
import { createRequire } from "node:module";

/** What a failed kernel call throws. */
export interface NativeError extends Error {
  /** errno's name, `ENOENT`. */
  code: string;
  errno: number;
  syscall: string;
  /** What the verifier or the kernel had to say. */
  log?: string;
}

export interface MapInfo {
  id: number;
  type: number;
  keyBytes: number;
  valueBytes: number;
  entries: number;
  flags: number;
}

export interface ProgramInfo {
  /** Instructions the verifier went through, over all paths; the kernel's bound is a million. */
  verified: number;
  /** Size of the program as the kernel has rewritten it; 8 bytes an instruction. */
  bytes: number;
}

export interface LinkInfo {
  id: number;
  programId: number;
  /** Of a tcx link: 0 when the interface is gone. Of one to a namespace: its inode number. */
  ifindex: number;
  attachType: number;
}

/** One ELF file. Descriptors it gives out live until `close()`. */
export interface BpfObject {
  /** Before `load()`: use the map behind `fd` instead of making one. False: has no such map. */
  reuseMap(name: string, fd: number): boolean;
  load(): void;
  mapFd(name: string): number;
  programFd(name: string): number;
  close(): void;
}

export interface RingBuffer {
  /** Fills `records` from its start; returns how many records were taken. */
  consume(records: Uint8Array): number;
  close(): void;
}

/** The rows of one array map, shared with the kernel. */
export interface MapMemory {
  readonly buffer: ArrayBuffer;
  /** Views of the buffer are empty afterwards. */
  close(): void;
}

export type InnerChange = [
  outer: number,
  key: Uint8Array,
  upsertKeys: Uint8Array,
  upsertValues: Uint8Array,
  upserts: number,
  deleteKeys: Uint8Array,
  deletes: number,
];

export interface Native {
  /** Of a map made with BPF_F_MMAPABLE. */
  MapMemory: new (
    fd: number,
    bytes: number,
  ) => MapMemory;
  BpfObject: new (path: string) => BpfObject;
  /** The second argument is the bytes of one record. */
  RingBuffer: new (
    fd: number,
    recordBytes: number,
  ) => RingBuffer;
  mapCreate(
    type: number,
    name: string,
    keyBytes: number,
    valueBytes: number,
    entries: number,
    flags: number,
  ): number;
  mapLookup(fd: number, key: Uint8Array, value: Uint8Array): boolean;
  mapUpdate(fd: number, key: Uint8Array, value: Uint8Array, flags: number): void;
  mapUpdateBatch(fd: number, keys: Uint8Array, values: Uint8Array, count: number): void;
  /** In another thread; the arrays must be left alone until it has settled. */
  mapFill(fd: number, keys: Uint8Array, values: Uint8Array, count: number): Promise<void>;
  /**
   * In the inner map behind `key`: first the upserts, then the deletes, of which those that are not
   * there are passed over. ENOENT: there is no inner map.
   */
  innerMapChange(...change: InnerChange): void;
  /** The same in another thread; the arrays must be left alone until it has settled. */
  innerMapChangeLater(...change: InnerChange): Promise<void>;
  mapDelete(fd: number, key: Uint8Array): boolean;
  mapNextKey(fd: number, key: Uint8Array | null, next: Uint8Array): boolean;
  mapLookupBatch(
    fd: number,
    cursor: Uint8Array | null,
    nextCursor: Uint8Array,
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
  ): { count: number; last: boolean };
  mapById(id: number): number;
  mapInfo(fd: number): MapInfo;
  programLoad(type: number, instructions: Uint8Array, license: string): number;
  programTestRun(
    fd: number,
    frame: Uint8Array,
    frameOut: Uint8Array,
    context: Uint8Array | null,
    contextOut: Uint8Array | null,
    repeat: number,
    flags?: number,
  ): { result: number; bytes: number; nanoseconds: number };
  programInfo(fd: number): ProgramInfo;
  linkCreate(program: number, target: number, attachType: number, flags?: number): number;
  linkUpdate(link: number, program: number): void;
  linkInfo(link: number): LinkInfo;
  objectGet(path: string): number | undefined;
  objectPin(fd: number, path: string): void;
  closeFd(fd: number): void;
  probeMapType(type: number): boolean;
  probeHelper(programType: number, helper: number): boolean;
  fileSystemType(path: string): number;
  /** Held until the descriptor is closed; undefined: another process holds it. */
  lockFolder(path: string): number | undefined;
  interfaceIndex(name: string): number;
  interfaceIsUp(name: string): boolean;
  /** Of this network namespace's local table; `family` and `type` are the kernel's numbers. */
  localRoutes(family: number): [type: number, prefix: string][];
  possibleCpus(): number;
  /** Of the process that connected a unix socket, given the accepted end. */
  peerCredentials(fd: number): [pid: number, uid: number];
}

/** Loads the addon that `make native` built. */
export function loadNative(
  path = new URL("../../.build/native/datapath.node", import.meta.url).pathname,
): Native {
  return createRequire(import.meta.url)(path);
}

/** Is this a failed kernel call, optionally with that errno name? */
export function isNativeError(error: unknown, code?: string): error is NativeError {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return false;
  return code === undefined || error.code === code;
}
