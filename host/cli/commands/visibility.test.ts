/** The command line over a real admin socket: what it sends, and how it says what is wrong. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ProblemError } from "../../admin/problem.ts";
import { StillAgent } from "../../admin/testing/still-agent.ts";
import type { AdminBackend, PolicyFile, PolicyView } from "../../admin/types.ts";
import { readPolicyFiles } from "../../enforce/policy-reader.ts";
import { createContext } from "../context.ts";
import { EXIT } from "../errors.ts";
import { runCli } from "../main.ts";

let stored: PolicyView[] = [];

/** The language and its checks are real; what is accepted is kept here and put nowhere in force. */
function apply(files: PolicyFile[]) {
  const { documents, errors, warnings } = readPolicyFiles(files, {
    parsing: { checkPattern: () => undefined, plugins: () => undefined },
    checkRules: () => {},
    features: {},
    forApply: true,
  });
  const applied = documents.map(({ kind, namespace, name, object }) => {
    const source = "api";
    stored.push({ kind, namespace, name, revision: 2, source, object, conditions: [] });
    return { kind, namespace, name, revision: 2 };
  });
  return Promise.resolve({ applied, errors, warnings });
}

const backend = {
  endpoints: {
    get: (reference: string) => {
      if (reference !== "shop/cache-0") {
        throw new ProblemError(404, `Cannot find endpoint "${reference}"`);
      }
      return { id: 1, name: "cache-0", namespace: "shop" };
    },
  },
  policies: {
    list: async () => stored,
    apply,
    delete: (kind: string, namespace: string, name: string) => {
      stored = stored.filter((one) => one.name !== name);
      return Promise.resolve({ kind, namespace, name, revision: 3 });
    },
  },
};

const agent = new StillAgent({ backend: backend as unknown as Partial<AdminBackend> });
const { socket } = agent;

beforeAll(() => agent.listen());
afterAll(() => agent.close());
beforeEach(() => {
  stored = [];
});

async function imker(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const context = createContext({
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    socket,
  });
  const code = await runCli(["visibility", ...argv], context);
  return { code, out: out.join(""), err: err.join("") };
}

const REDIS = ["--port", "6379/TCP", "--plugin", "redis"];

test("add, list and delete", async () => {
  const added = await imker("add", "--endpoint", "shop/cache-0", ...REDIS);
  expect(added).toEqual({
    code: EXIT.ok,
    out: "VisibilityPolicy shop/cache-0-ingress-6379-redis added\n",
    err: expect.stringMatching(
      /^warning: visibility add:1:\d+: spec.plugin: plugin redis is not installed/,
    ),
  });
  await imker("add", "--selector", "app=cache,tier=db", "--direction", "egress", ...REDIS);
  const { out } = await imker("list");
  expect(out.split("\n").slice(1)).toEqual(
    [
      "shop       cache-0-ingress-6379-redis            cache-0            ingress    6379/TCP  redis",
      "default    app-cache-tier-db-egress-6379-redis  app=cache,tier=db  egress     6379/TCP  redis",
      "",
    ].map((line) => expect.stringMatching(line.replaceAll(/ +/g, " +"))),
  );
  const gone = await imker("delete", "shop/cache-0-ingress-6379-redis");
  expect(gone.out).toBe("VisibilityPolicy shop/cache-0-ingress-6379-redis deleted\n");
  expect(stored.map(({ namespace }) => namespace)).toEqual(["default"]);
});

test("with --json warnings stand in what is printed", async () => {
  const { out, err } = await imker("add", "--selector", "app=a", ...REDIS, "--json");
  expect(err).toBe("");
  expect(JSON.parse(out)).toMatchObject({ errors: [], warnings: [{ path: "spec.plugin" }] });
});

test.each<[string, string[], RegExp]>([
  ["nobody's traffic", REDIS, /give --endpoint or --selector/],
  [
    "two kinds of target",
    ["--endpoint", "shop/cache-0", "--selector", "a=b", ...REDIS],
    /give --endpoint or --selector/,
  ],
  [
    "a namespace beside an endpoint",
    ["--endpoint", "shop/cache-0", "--namespace", "x", ...REDIS],
    /an endpoint has its own/,
  ],
  ["an endpoint that is not there", ["--endpoint", "nobody", ...REDIS], /Cannot find endpoint/],
  ["UDP", ["--selector", "a=b", "--port", "53/UDP", "--plugin", "dns"], /Expected a TCP port/],
  ["port 0", ["--selector", "a=b", "--port", "0", "--plugin", "dns"], /Expected a TCP port/],
  ["a selector without value", ["--selector", "a", ...REDIS], /Expected key=value/],
  ["no plugin", ["--selector", "a=b", "--port", "1"], /--plugin/],
])("refuses %s", async (_, argv, message) => {
  const { code, err } = await imker("add", ...argv);
  expect([code, err]).toEqual([EXIT.user, expect.stringMatching(message)]);
  expect(stored).toEqual([]);
});

test("cannot delete what is not there", async () => {
  const { code, err } = await imker("delete", "nothing");
  expect([code, err]).toEqual([
    EXIT.user,
    expect.stringMatching(/Cannot find visibility "nothing"/),
  ]);
});
