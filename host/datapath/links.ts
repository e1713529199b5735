/**
 * The attached programs: one pinned tcx link per interface and program, links/IFNAME-PROGRAM. A
 * pinned link goes on without us. A link is only ever swapped; it is removed when its interface is
 * gone, when somebody asks for it (node interfaces only), or by uninstall.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { isNativeError, type LinkInfo, type Native } from "../native/index.ts";

/* enum bpf_attach_type; libbpf 1.1 does not name them. */
const TCX_INGRESS = 46;
const TCX_EGRESS = 47;
const SK_LOOKUP = 36;

export type ProgramName =
  | "pod_egress"
  | "pod_ingress"
  | "netdev_ingress"
  | "netdev_egress"
  | "proxy_lookup";

const ATTACH_TYPE: Readonly<Record<ProgramName, number>> = {
  pod_egress: TCX_INGRESS,
  pod_ingress: TCX_EGRESS,
  netdev_ingress: TCX_INGRESS,
  netdev_egress: TCX_EGRESS,
  proxy_lookup: SK_LOOKUP,
};

/** What stands for an interface in the name of the link to the network namespace itself. */
const NETNS = "netns";

interface LinkName {
  ifname: string;
  program: ProgramName;
}

/** bpffs refuses dots in names, which VLAN interfaces have. */
const fileName = ({ ifname, program }: LinkName): string =>
  `${ifname.replaceAll(".", "@")}-${program}`;

function parseFileName(file: string): LinkName | undefined {
  const dash = file.lastIndexOf("-");
  const program = file.slice(dash + 1);
  if (dash < 1 || !(program in ATTACH_TYPE)) return undefined;
  return { ifname: file.slice(0, dash).replaceAll("@", "."), program: program as ProgramName };
}

export class Links {
  readonly #native: Native;
  readonly #folder: string;

  constructor(native: Native, bpffs: string) {
    this.#native = native;
    this.#folder = join(bpffs, "links");
  }

  /** False: the interface has that link already, with whatever program it runs. */
  attach(name: LinkName, ifindex: number, program: number): boolean {
    const path = join(this.#folder, fileName(name));
    if (this.#info(path)?.ifindex === ifindex) return false;
    this.#pin(path, program, ifindex, ATTACH_TYPE[name.program]);
    return true;
  }

  /** Names of interfaces with a link of one of these programs. */
  interfacesOf(programs: readonly ProgramName[]): string[] {
    const names = this.#files()
      .map(parseFileName)
      .filter((name) => name !== undefined && programs.includes(name.program))
      .map((name) => name?.ifname ?? "");
    return [...new Set(names)];
  }

  /** False: there is no such link. */
  detach(name: LinkName): boolean {
    const path = join(this.#folder, fileName(name));
    if (!existsSync(path)) return false;
    unlinkSync(path);
    return true;
  }

  /** Attaches to the network namespace this process is in; it has one such link. */
  attachNetns(program: number): void {
    const path = join(this.#folder, fileName({ ifname: NETNS, program: "proxy_lookup" }));
    const target = openSync("/proc/thread-self/ns/net", "r");
    try {
      if (this.#info(path)?.ifindex === fstatSync(target).ino) return;
      this.#pin(path, program, target, SK_LOOKUP);
    } finally {
      closeSync(target);
    }
  }

  /** Swaps the program of every link. */
  update(programs: Readonly<Record<ProgramName, number>>): void {
    this.sweep();
    for (const file of this.#files()) {
      const name = parseFileName(file);
      const link = this.#native.objectGet(join(this.#folder, file));
      if (name === undefined || link === undefined) continue;
      try {
        this.#native.linkUpdate(link, programs[name.program]);
      } catch (error) {
        // The interface went away since the sweep.
        if (!isNativeError(error, "ENOLINK")) throw error;
      } finally {
        this.#native.closeFd(link);
      }
    }
  }

  /** Unpins links whose interface is gone. */
  sweep(): void {
    for (const file of this.#files()) {
      const path = join(this.#folder, file);
      if (this.#info(path)?.ifindex === 0) unlinkSync(path);
    }
  }

  /** ifindex → name, of every interface that has a link. */
  interfaceNames(): Map<number, string> {
    const names = new Map<number, string>();
    for (const file of this.#files()) {
      const name = parseFileName(file);
      const info = this.#info(join(this.#folder, file));
      if (name === undefined || name.ifname === NETNS) continue;
      if (info !== undefined) names.set(info.ifindex, name.ifname);
    }
    return names;
  }

  /** Detaches everything; returns "IFNAME PROGRAM" of each. */
  removeAll(): string[] {
    return this.#files().map((file) => {
      unlinkSync(join(this.#folder, file));
      const name = parseFileName(file);
      return name === undefined ? file : `${name.ifname} ${name.program}`;
    });
  }

  #pin(path: string, program: number, target: number, attachType: number): void {
    mkdirSync(this.#folder, { recursive: true });
    if (existsSync(path)) unlinkSync(path);
    const link = this.#native.linkCreate(program, target, attachType);
    try {
      this.#native.objectPin(link, path);
    } finally {
      this.#native.closeFd(link);
    }
  }

  #files(): string[] {
    return existsSync(this.#folder) ? readdirSync(this.#folder).sort() : [];
  }

  #info(path: string): LinkInfo | undefined {
    const link = this.#native.objectGet(path);
    if (link === undefined) return undefined;
    try {
      return this.#native.linkInfo(link);
    } finally {
      this.#native.closeFd(link);
    }
  }
}
