/**
 * What this kernel and this process can do, asked of the kernel itself, with advice where it
 * cannot.
 */
import { isNativeError, type Native } from "../native/index.ts";
import type { Feature } from "./types.ts";

const BPF_FS_MAGIC = 0xcafe4a11;
const PROGRAM_SCHED_CLS = 3;
const MAP_LPM_TRIE = 11;
const MAP_HASH_OF_MAPS = 13;
const MAP_SOCKMAP = 15;
const MAP_RINGBUF = 27;
const HELPER_SK_ASSIGN = 124;
const HELPER_REDIRECT_PEER = 155;
const TCX_INGRESS = 46;
const NO_SUCH_IFINDEX = 0x7fffffff;
/* r0 = 0; exit */
const EMPTY_PROGRAM = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);

const found = (name: string, available: boolean, detail: string): Feature => ({
  name,
  available,
  detail: available ? "" : detail,
});

/** Is the path on a BPF file system, or would it be once made? */
export function isBpffs(native: Pick<Native, "fileSystemType">, path: string): boolean {
  let folder = path;
  while (folder !== "/" && native.fileSystemType(folder) === 0)
    folder = folder.slice(0, folder.lastIndexOf("/")) || "/";
  return native.fileSystemType(folder) === BPF_FS_MAGIC;
}

/** Loads the smallest program there is and tries to attach it to an interface that cannot be. */
function probeProgram(native: Native): { privilege: boolean; tcx: boolean } {
  let program: number;
  try {
    program = native.programLoad(PROGRAM_SCHED_CLS, EMPTY_PROGRAM, "GPL");
  } catch {
    return { privilege: false, tcx: false };
  }
  try {
    native.closeFd(native.linkCreate(program, NO_SUCH_IFINDEX, TCX_INGRESS));
    return { privilege: true, tcx: true };
  } catch (error) {
    // A kernel with tcx looks for the interface; one without does not know the attach type.
    return { privilege: true, tcx: isNativeError(error, "ENODEV") };
  } finally {
    native.closeFd(program);
  }
}

export function probeFeatures(native: Native, bpffs: string): Feature[] {
  const { privilege, tcx } = probeProgram(native);
  const helper = (number: number): boolean => native.probeHelper(PROGRAM_SCHED_CLS, number);
  return [
    found(
      "privileges",
      privilege,
      "BPF programs are refused: run as root (CAP_BPF, CAP_NET_ADMIN)",
    ),
    found("bpffs", isBpffs(native, bpffs), "no BPF file system: mount -t bpf bpf /sys/fs/bpf"),
    found("tcx", tcx, "programs cannot be attached by link: needs Linux 6.6 or newer"),
    found(
      "sockmap",
      native.probeMapType(MAP_SOCKMAP),
      "no L7 policy: CONFIG_BPF_STREAM_PARSER is off",
    ),
    found("sk_assign", helper(HELPER_SK_ASSIGN), "no L7 policy: needs Linux 5.7 or newer"),
    found(
      "redirect_peer",
      helper(HELPER_REDIRECT_PEER),
      "no pod delivery: needs Linux 5.10 or newer",
    ),
    found("ring-buffer", native.probeMapType(MAP_RINGBUF), "no events: needs Linux 5.8 or newer"),
    found("lpm-trie", native.probeMapType(MAP_LPM_TRIE), "no ipcache: CONFIG_BPF_SYSCALL is off"),
    found(
      "map-in-map",
      native.probeMapType(MAP_HASH_OF_MAPS),
      "no policy maps: needs Linux 4.12 or newer",
    ),
  ];
}
