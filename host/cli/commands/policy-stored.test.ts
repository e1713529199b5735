/** Policies that an agent has, as the command line names, prints and deletes them. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { StillAgent } from "../../admin/testing/still-agent.ts";
import type { AdminBackend, PolicyView } from "../../admin/types.ts";
import { createContext } from "../context.ts";
import { EXIT } from "../errors.ts";
import { runCli } from "../main.ts";

const view = (kind: string, namespace: string, name: string): PolicyView => ({
  ...{ kind, namespace, name, revision: 2, source: "api", conditions: [] },
  object: { kind, metadata: { name, ...(namespace ? { namespace } : {}) }, spec: { port: "80" } },
});
const STORED = [
  view("CiliumNetworkPolicy", "shop", "web"),
  view("NetworkPolicy", "shop", "web"),
  view("NetworkPolicy", "test", "web"),
  view("CiliumClusterwideNetworkPolicy", "", "node"),
];
let deleted: string[] = [];

const backend = {
  policies: {
    list: async () => STORED,
    validate: () => ({ applied: [], warnings: [], errors: [] }),
    delete: (kind: string, namespace: string, name: string) => {
      deleted.push(`${kind}/${namespace}/${name}`);
      return Promise.resolve({ kind, namespace, name, revision: 3 });
    },
  },
};
const agent = new StillAgent({ backend: backend as unknown as Partial<AdminBackend> });
beforeAll(() => agent.listen());
afterAll(() => agent.close());
beforeEach(() => {
  deleted = [];
});

async function imker(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const streams = { out: (text: string) => out.push(text), err: (text: string) => err.push(text) };
  const context = createContext({ ...streams, socket: agent.socket });
  const code = await runCli(["policy", ...argv], context);
  return { code, out: out.join(""), err: err.join("") };
}

test.each([
  [["test/web"], ["NetworkPolicy/test/web"]],
  [["NetworkPolicy/shop/web"], ["NetworkPolicy/shop/web"]],
  [["node"], ["CiliumClusterwideNetworkPolicy//node"]],
  [["CiliumClusterwideNetworkPolicy/node"], ["CiliumClusterwideNetworkPolicy//node"]],
  [
    ["test/web", "CiliumNetworkPolicy/shop/web"],
    ["NetworkPolicy/test/web", "CiliumNetworkPolicy/shop/web"],
  ],
])("delete %j", async (names, expected) => {
  expect((await imker("delete", ...names)).code).toBe(EXIT.ok);
  expect(deleted).toEqual(expected);
});

test.each([
  [["web"], 'Cannot tell which policy "web" is: CiliumNetworkPolicy/shop/web or NetworkPolicy/'],
  [["node", "shop/web"], 'Cannot tell which policy "shop/web" is: '],
  [["node", "nope"], 'Cannot find policy "nope"'],
])("delete %j deletes nothing", async (names, message) => {
  const { code, err } = await imker("delete", ...names);
  expect(code).toBe(EXIT.user);
  expect(err).toContain(message);
  expect(deleted).toEqual([]);
});

test("get shows all that are called so, as a table, JSON or YAML", async () => {
  expect((await imker("get", "web")).out.trim().split("\n")).toHaveLength(4);
  const { out: yaml } = await imker("get", "shop/web", "-o", "yaml");
  expect(parseAllDocuments(yaml).map((one) => one.toJS())).toEqual(
    STORED.slice(0, 2).map(({ object }) => object),
  );
  const { out: json } = await imker("get", "node", "-o", "json");
  expect(JSON.parse(json)).toEqual([STORED[3]]);
  expect((await imker("get", "node", "--json")).out).toBe(json);
});
