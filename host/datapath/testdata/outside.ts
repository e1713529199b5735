/** One more machine, behind a test node's uplink. */
import { sh } from "./node-client.ts";

/** Name of the uplink in the node's namespace. */
export const UPLINK = "up0";

export interface Outside {
  netns: string;
  ipv4: string;
  ipv6: string;
  /** Of the node, on the uplink. */
  gateways: readonly [ipv4: string, ipv6: string];
}

/** Routes everything to the node. `removeOutside` undoes it. */
export function addOutside(node: string): Outside {
  const name = `${node}-outside`;
  sh(`ip netns del ${name} 2>/dev/null || true; ip netns add ${name}`);
  sh(`ip -n ${node} link add ${UPLINK} type veth peer name eth0 netns ${name}
      ip -n ${node} addr add 10.9.9.1/24 dev ${UPLINK}
      ip -n ${node} -6 addr add fd09:9::1/64 dev ${UPLINK} nodad
      ip -n ${node} link set ${UPLINK} up
      ip -n ${name} link set lo up; ip -n ${name} link set eth0 up
      ip -n ${name} addr add 10.9.9.2/24 dev eth0
      ip -n ${name} -6 addr add fd09:9::2/64 dev eth0 nodad
      ip -n ${name} route add default via 10.9.9.1
      ip -n ${name} -6 route add default via fd09:9::1`);
  return {
    netns: `/run/netns/${name}`,
    ipv4: "10.9.9.2",
    ipv6: "fd09:9::2",
    gateways: ["10.9.9.1", "fd09:9::1"],
  };
}

export function removeOutside(node: string): void {
  sh(`ip netns del ${node}-outside`);
}
