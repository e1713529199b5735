/**
 * A policy that alternates between two revisions under load, on a real node with pods and a proxy.
 * Both revisions let one request through and deny another, by different entries and different rule
 * sets; and both keep one pod out. Every other answer is of neither revision.
 */
import { type ProbeResult, Rig } from "../../test/rig.ts";
import { ownName } from "../topology.ts";

export interface Alternations {
  alternations: number;
  answers: number;
  wrong: number;
  /** What was wrong, by request and answer. */
  details: Record<string, number>;
}

const PORT = 8080;
const INTERVAL_MS = 10;
/** Those of the pod that is kept out end in a timeout; fewer of them are open at a time. */
const OUTSIDER_INTERVAL_MS = 100;

export async function alternate(times: number, signal: AbortSignal): Promise<Alternations> {
  const rig = await Rig.start(ownName("policy"));
  try {
    const server = await rig.pod("web", PORT);
    const friend = await rig.pod("friend");
    const outsider = await rig.pod("outsider");
    await rig.apply(revision(0));
    const url = (path: string): string => `http://${server.ipv4}:${PORT}${path}`;
    const probes = [
      { path: "/both", right: "200", probe: await rig.probe(friend, url("/both"), INTERVAL_MS) },
      { path: "/never", right: "403", probe: await rig.probe(friend, url("/never"), INTERVAL_MS) },
      {
        path: "outsider",
        right: "timeout",
        probe: await rig.probe(outsider, url("/both"), OUTSIDER_INTERVAL_MS),
      },
    ];
    for (let round = 1; round <= times; round++) {
      signal.throwIfAborted();
      await rig.apply(revision(round));
    }
    const result: Alternations = { alternations: times, answers: 0, wrong: 0, details: {} };
    for (const { path, right, probe } of probes) count(result, path, right, await probe.stop());
    return result;
  } finally {
    await rig.close();
  }
}

function count(into: Alternations, path: string, right: string, result: ProbeResult): void {
  for (const [answer, times] of Object.entries(result)) {
    if (answer === "longestGapMs") continue;
    into.answers += times;
    if (answer === right) continue;
    into.wrong += times;
    into.details[`${path}: ${answer}`] = times;
  }
}

/** By label and port, or for anyone but the outsider and a range of ports. */
function revision(round: number): string {
  const http = (path: string): unknown => ({ http: [{ path: "/both" }, { path }] });
  const labels = (app: string): unknown => [{ matchLabels: { app } }];
  const even = {
    ingress: [
      {
        fromEndpoints: labels("friend"),
        toPorts: [{ ports: [{ port: "8080", protocol: "TCP" }], rules: http("/even") }],
      },
    ],
  };
  const odd = {
    ingress: [
      {
        toPorts: [
          { ports: [{ port: "8000", endPort: 8999, protocol: "TCP" }], rules: http("/odd") },
        ],
      },
    ],
    ingressDeny: [{ fromEndpoints: labels("outsider") }],
  };
  return JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "alternating", namespace: "test" },
    spec: { endpointSelector: { matchLabels: { app: "web" } }, ...(round % 2 === 0 ? even : odd) },
  });
}
