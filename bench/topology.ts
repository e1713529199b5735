/**
 * The one topology of the L7 rows: three network namespaces, client → proxy → server, joined by two
 * veth pairs. Nothing is made in the host's namespace, and none of the three has a route outside.
 * Names carry the id of the process that made them, so a later run can remove what a killed one
 * left.
 */
import { existsSync, readdirSync } from "node:fs";
import { run } from "./process.ts";

const PREFIX = "imk-b";

export const ADDRESS = {
  client: "10.98.1.2",
  proxyToClient: "10.98.1.1",
  proxyToServer: "10.98.2.1",
  server: "10.98.2.2",
} as const;

/** A name for something of this process: `imk-b<pid>-<part>`. */
export function ownName(part: string, pid = process.pid): string {
  return `${PREFIX}${pid}-${part}`;
}

/** Was `name` made by a benchmark whose process is gone? */
export function isStaleName(name: string, isAlive: (pid: number) => boolean): boolean {
  const match = new RegExp(`^${PREFIX}(\\d+)-`).exec(name);
  return match !== null && !isAlive(Number(match[1]));
}

export function isProcessAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

export function sweepNamespaces(): void {
  if (!existsSync("/run/netns")) return;
  for (const name of readdirSync("/run/netns")) {
    if (isStaleName(name, isProcessAlive)) run(["ip", "netns", "delete", name]);
  }
}

export class Topology {
  readonly client: string;
  readonly proxy: string;
  readonly server: string;

  constructor(pid = process.pid) {
    this.client = ownName("client", pid);
    this.proxy = ownName("proxy", pid);
    this.server = ownName("server", pid);
    try {
      this.#make();
    } catch (cause) {
      this.close();
      throw cause;
    }
  }

  #make(): void {
    for (const netns of [this.client, this.proxy, this.server]) makeNamespace(netns);
    makeLink(
      { netns: this.client, address: ADDRESS.client },
      this.proxy,
      "client",
      ADDRESS.proxyToClient,
    );
    makeLink(
      { netns: this.server, address: ADDRESS.server },
      this.proxy,
      "server",
      ADDRESS.proxyToServer,
    );
    setSysctl(this.proxy, "net.ipv4.ip_forward", "1");
  }

  /** Deleting a namespace deletes its end of every pair, and so the pair. */
  close(): void {
    for (const netns of [this.client, this.proxy, this.server]) {
      if (existsSync(`/run/netns/${netns}`)) run(["ip", "netns", "delete", netns]);
    }
  }
}

export function makeNamespace(netns: string): void {
  run(["ip", "netns", "add", netns]);
  run(["ip", "-n", netns, "link", "set", "lo", "up"]);
  // A new connection per request uses up ports faster than TIME_WAIT gives them back.
  setSysctl(netns, "net.ipv4.ip_local_port_range", "1024 65535");
  setSysctl(netns, "net.ipv4.tcp_tw_reuse", "1");
  // Machines that choose BBR would pace every row with timers. Reno is the one that the kernel
  // always allows in a namespace, and without loss the others do the same.
  setSysctl(netns, "net.ipv4.tcp_congestion_control", "reno");
}

/** A veth pair between `end` (eth0, default route over the peer) and `peer`. */
function makeLink(
  end: { netns: string; address: string },
  peer: string,
  peerDevice: string,
  peerAddress: string,
): void {
  run([
    ..."ip link add eth0 netns".split(" "),
    end.netns,
    ..."type veth peer name".split(" "),
    peerDevice,
    "netns",
    peer,
  ]);
  run(["ip", "-n", end.netns, "address", "add", `${end.address}/24`, "dev", "eth0"]);
  run(["ip", "-n", peer, "address", "add", `${peerAddress}/24`, "dev", peerDevice]);
  run(["ip", "-n", end.netns, "link", "set", "eth0", "up"]);
  run(["ip", "-n", peer, "link", "set", peerDevice, "up"]);
  run(["ip", "-n", end.netns, "route", "add", "default", "via", peerAddress]);
}

export function setSysctl(netns: string, key: string, value: string): void {
  // /proc/sys/net is that of the namespace of who opens it.
  const file = `/proc/sys/${key.replaceAll(".", "/")}`;
  run(["nsenter", `--net=/run/netns/${netns}`, "sh", "-c", `echo ${value} > ${file}`]);
}
