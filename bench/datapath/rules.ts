/**
 * The same number of rules said three ways: as policies, to nftables, to iptables. Each lets one
 * more source reach the server's port; the one that matches stands in the middle, which is where a
 * rule stands on average. What none allows is dropped; answers pass by connection tracking.
 */
import { ADDRESS } from "../topology.ts";

export const SERVER_PORT = 8080;

/** Sources that do not exist, so many below and above the client's own rule. */
function others(rules: number): { before: string[]; after: string[] } {
  const all = Array.from({ length: rules - 1 }, (_, at) => `10.99.${at >> 8}.${at & 255}`);
  const middle = all.length >> 1;
  return { before: all.slice(0, middle), after: all.slice(middle) };
}

/** For the server's ingress, and as many for the client's egress: both sides are judged. */
export function policies(rules: number): unknown[] {
  const { before, after } = others(rules);
  const toPorts = [{ ports: [{ port: String(SERVER_PORT), protocol: "TCP" }] }];
  const from = (address: string): unknown => ({ fromCIDR: [`${address}/32`], toPorts });
  const to = (address: string): unknown => ({ toCIDR: [`${address}/32`], toPorts });
  const client = { fromEndpoints: [{ matchLabels: { app: "client" } }], toPorts };
  const server = { toEndpoints: [{ matchLabels: { app: "server" } }], toPorts };
  return [
    policy("server", { ingress: [...before.map(from), client, ...after.map(from)] }),
    policy("client", { egress: [...before.map(to), server, ...after.map(to)] }),
  ];
}

function policy(app: string, rules: Record<string, unknown>): unknown {
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: app, namespace: "bench" },
    spec: { endpointSelector: { matchLabels: { app } }, ...rules },
  };
}

/** For `nft -f`. */
export function nftables(rules: number): string {
  const { before, after } = others(rules);
  const lines = [...before, ADDRESS.client, ...after].map(
    (source) => `ip saddr ${source} ip daddr ${ADDRESS.server} tcp dport ${SERVER_PORT} accept`,
  );
  const chain = "type filter hook forward priority 0; policy drop;";
  const known = "ct state established,related accept";
  return `table inet bench { chain forward {\n${[chain, known, ...lines].join("\n")}\n}\n}\n`;
}

/** For `iptables-restore`. */
export function iptables(rules: number): string {
  const { before, after } = others(rules);
  const lines = [...before, ADDRESS.client, ...after].map(
    (source) =>
      `-A FORWARD -s ${source} -d ${ADDRESS.server} -p tcp --dport ${SERVER_PORT} -j ACCEPT`,
  );
  const known = "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT";
  return ["*filter", ":FORWARD DROP", known, ...lines, "COMMIT", ""].join("\n");
}

/** For `iptables-restore`: as if nothing had been. */
export const NO_IPTABLES = "*filter\n:FORWARD ACCEPT\nCOMMIT\n";
