/** A large comparison leaves the agent's thread to others: asked over the real socket meanwhile. */
import { Client } from "undici";
import { expect, test } from "vitest";
import { StillAgent } from "../admin/testing/still-agent.ts";
import type { AgentStatus } from "../admin/types.ts";
import { podLabels } from "../identity/pod-labels.ts";
import { PrefixLabels } from "../identity/prefix-labels.ts";
import type { Rule } from "../policy/rule.ts";
import { repositoryOf } from "../policy/testing/small-world.ts";
import type { Identity, PolicySubject } from "../policy/types.ts";
import { createExplainBackend } from "./policy-explain.ts";

const IDENTITIES = 4_000;
const ENDPOINTS = 60;
/** Fewer answers than this would mean that they waited for the whole. */
const ANSWERS_MIN = 5;

const identities = Array.from({ length: IDENTITIES }, (_, index): Identity => {
  const labels = { app: `app-${index % ENDPOINTS}`, instance: `pod-${index}` };
  return { id: 1_000 + index, labels: podLabels({ namespace: "default", labels }) };
});
const subjects = identities.slice(0, ENDPOINTS).map((identity, index): PolicySubject => {
  return { endpoint: index + 1, identity, namespace: "default", namedPorts: [] };
});

/** Each endpoint has rules of its own; the change is for all of them and about everybody. */
function rules(): { before: readonly Rule[]; after: readonly Rule[] } {
  const policy = (name: string, selector: unknown, item: unknown): string =>
    `${JSON.stringify({
      ...{ apiVersion: "cilium.io/v2", kind: "CiliumClusterwideNetworkPolicy" },
      ...{ metadata: { name }, spec: { endpointSelector: selector, ingress: [item] } },
    })}\n`;
  const app = (index: number) => ({ matchLabels: { app: `app-${index % ENDPOINTS}` } });
  const repository = repositoryOf(
    ...subjects.map((_, index) =>
      policy(`own-${index}`, app(index), { fromEndpoints: [app(index + 1), app(index + 2)] }),
    ),
  );
  const before = repository.rules();
  const toPorts = [{ ports: [{ port: "19999", protocol: "TCP" }] }];
  const change = repositoryOf(policy("everybody", {}, { fromEndpoints: [{}], toPorts }));
  return { before, after: [...before, ...change.rules()] };
}

test("answers others while it compares", async () => {
  const { before, after } = rules();
  const labels = new PrefixLabels();
  const preview = {
    ...{ before: { rules: before, labels }, after: { rules: after, labels } },
    ...{ mode: "default" as const, cluster: "default" },
    ...{ errors: [], warnings: [] },
  };
  const explain = createExplainBackend({
    policies: { preview: () => preview, revision: 1 },
    endpoints: { list: () => [], get: () => Promise.reject() as never, subjects: () => subjects },
    identities: { list: () => identities },
    planner: { originsOf: () => [] },
    datapath: { listPolicy: () => [], listIpcache: () => [] },
    pump: { drain: () => 0 },
    observer: { getFlows: async function* () {} },
    policyEntriesMax: 100,
    hostAccess: "always",
  });
  const status = async (): Promise<AgentStatus> => ({}) as AgentStatus;
  const agent = new StillAgent({ backend: { explain, status } });
  await agent.listen();
  const clients = [0, 1].map(() => new Client("http://any", { socketPath: agent.socket }));
  const [comparing, asking] = clients;
  try {
    let isDone = false;
    const compared = comparing
      ?.request({ method: "POST", path: "/v1/policies/diff", body: '{"files":[],"deletes":[]}' })
      .finally(() => {
        isDone = true;
      });
    let answers = 0;
    while (!isDone) {
      const answer = await asking?.request({ method: "GET", path: "/v1/status" });
      await answer?.body.dump();
      if (answer?.statusCode === 200 && !isDone) answers++;
    }
    expect((await compared)?.statusCode).toBe(200);
    const view = (await (await compared)?.body.json()) as { endpoints: unknown[] };
    expect(view.endpoints).toHaveLength(ENDPOINTS);
    console.log(`${answers} answers while it compared`);
    expect(answers).toBeGreaterThan(ANSWERS_MIN);
  } finally {
    for (const client of clients) await client.destroy();
    agent.close();
  }
}, 60_000);
