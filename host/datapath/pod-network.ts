/**
 * Namespaces, veth pairs, addresses and routes of pods. A pod has host addresses (/32, /128) and
 * reaches everything through a link-local gateway whose neighbour entry is permanent: no ARP, no
 * neighbour discovery, no shared segment. The host side stays down until the programs are attached
 * (`openHostSide`), so a pod never has an unpoliced moment.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { EndpointRecord, PodLink, PodNetwork, PodTraces } from "../endpoint/types.ts";
import type { Native } from "../native/index.ts";
import { ipBatch, run } from "./command.ts";
import { DatapathError } from "./errors.ts";
import { setSysctl } from "./routing.ts";
import type { DatapathEndpoint } from "./types.ts";

const GATEWAY_IPV4 = "169.254.1.1";
const GATEWAY_IPV6 = "fe80::1";
const POD_INTERFACE = "eth0";
const NETNS_FOLDER = "/run/netns";
const GONE = /Cannot find device|No such file or directory|No such process|No such device/;

interface PodSpec {
  id: number;
  name: string;
  netns: string | undefined;
  ipv4: string;
  ipv6: string;
}

/** Locally administered, unicast. */
function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

export class VethNetwork implements PodNetwork {
  readonly #native: Pick<Native, "interfaceIndex">;
  /** Names made here start with this, so that several nodes can share one machine. */
  readonly #prefix: string;

  constructor(native: Pick<Native, "interfaceIndex">, prefix = "imk") {
    this.#native = native;
    this.#prefix = prefix;
  }

  /** @throws DatapathError, with everything undone. */
  create(spec: PodSpec, begin: (traces: PodTraces) => void = () => {}): PodLink {
    const made = spec.netns === undefined;
    const netns = spec.netns ?? `${NETNS_FOLDER}/${this.#namespaceName(spec)}`;
    const ifname = `${this.#prefix}${spec.id}`;
    const link = { netns, ifname, podMac: randomMac(), hostMac: randomMac() };
    // What is undone below must be what was made here.
    if (this.find(ifname) !== undefined)
      throw new DatapathError(
        "in-use",
        `Cannot make interface ${ifname}: there is one; remove it with 'ip link del ${ifname}'`,
      );
    begin({ ifname, netns, ownsNetns: made });
    if (made) run(["ip", "netns", "add", basename(netns)]);
    try {
      ipBatch([
        `link add ${ifname} address ${link.hostMac} type veth` +
          ` peer name ${POD_INTERFACE} address ${link.podMac} netns ${netns}`,
        `link set ${ifname} addrgenmode none`,
      ]);
      ipBatch(podLines(spec, link.hostMac), { netns });
      const ifindex = this.find(ifname);
      if (ifindex === undefined)
        throw new DatapathError("no-interface", `Cannot find ${ifname}: it was just made`);
      return { ...link, ifindex };
    } catch (error) {
      this.remove({ ifname, netns, ownsNetns: made });
      throw error;
    }
  }

  remove(pod: PodTraces): void {
    if (this.find(pod.ifname) !== undefined)
      ipBatch([`link del ${pod.ifname}`], { tolerate: GONE });
    if (pod.ownsNetns && existsSync(pod.netns))
      run(["ip", "netns", "del", basename(pod.netns)], { tolerate: GONE });
  }

  /** @throws DatapathError */
  reconnect(pod: EndpointRecord): PodLink {
    const { ifname, netns } = pod;
    const ifindex = this.find(ifname);
    if (ifindex === undefined)
      throw new DatapathError("no-interface", `Cannot connect ${ifname}: it is gone`);
    const hostMac = macOf(ifname);
    const podMac = macOf(POD_INTERFACE, netns);
    ipBatch(podLines(pod, hostMac), { netns });
    return { netns, ifname, ifindex, podMac, hostMac };
  }

  find(ifname: string): number | undefined {
    return this.#native.interfaceIndex(ifname) || undefined;
  }

  /** Pods of two nodes, or of two Kubernetes namespaces, may have one name. */
  #namespaceName(spec: PodSpec): string {
    for (let attempt = 0; ; attempt++) {
      const name = `${this.#prefix}-${spec.name}${attempt === 0 ? "" : `-${attempt}`}`;
      if (!existsSync(`${NETNS_FOLDER}/${name}`)) return name;
    }
  }
}

function macOf(ifname: string, netns?: string): string {
  const said = run(["ip", "-json", "link", "show", "dev", ifname], { netns });
  const [link] = JSON.parse(said) as { address?: string }[];
  return link?.address ?? "";
}

/** Inside the pod. `nodad`: the address is ours alone, and waiting for it costs a second. */
function podLines(spec: Pick<PodSpec, "ipv4" | "ipv6">, hostMac: string): string[] {
  return [
    "link set lo up",
    `link set ${POD_INTERFACE} addrgenmode none`,
    `link set ${POD_INTERFACE} up`,
    `addr replace ${spec.ipv4}/32 dev ${POD_INTERFACE}`,
    `neigh replace ${GATEWAY_IPV4} lladdr ${hostMac} dev ${POD_INTERFACE} nud permanent`,
    `route replace default via ${GATEWAY_IPV4} dev ${POD_INTERFACE} onlink`,
    `addr replace ${spec.ipv6}/128 dev ${POD_INTERFACE} nodad`,
    `neigh replace ${GATEWAY_IPV6} lladdr ${hostMac} dev ${POD_INTERFACE} nud permanent`,
    `route replace default via ${GATEWAY_IPV6} dev ${POD_INTERFACE} onlink`,
  ];
}

/**
 * Brings up the host side of a policed pod and routes the pod's addresses to it. accept_local: what
 * a server on the node answers to a proxied pod is turned round at the veth and comes in by it
 * (bpf/lib/deliver.h); the program refuses such a source from the pod itself.
 */
export function openHostSide(endpoint: DatapathEndpoint): void {
  const { ifname, ipv4, ipv6, podMac } = endpoint;
  const device = ifname.replaceAll(".", "/");
  setSysctl(`ipv4/conf/${device}/rp_filter`, "0");
  setSysctl(`ipv4/conf/${device}/accept_local`, "1");
  const ends = [ipv4 && `${ipv4}/32`, ipv6 && `${ipv6}/128`].filter((end) => end !== undefined);
  ipBatch([
    `link set ${ifname} up`,
    ...ends.flatMap((end) => [
      `neigh replace ${end.slice(0, end.indexOf("/"))} lladdr ${podMac} dev ${ifname} nud permanent`,
      `route replace ${end} dev ${ifname}`,
    ]),
  ]);
}
