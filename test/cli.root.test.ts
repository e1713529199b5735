/**
 * The command line as a script uses it: `--json` wherever it stands, the documented shapes, one
 * line for what went wrong, and the exit codes.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { allowPolicy, Rig } from "./rig.ts";

const IMKER = join(dirname(dirname(fileURLToPath(import.meta.url))), "imker");
const TIMEOUT_MS = 30_000;

interface Outcome {
  code: number;
  out: string;
  err: string;
}

function imker(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(IMKER, args, { timeout: TIMEOUT_MS }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

const folder = mkdtempSync(join(tmpdir(), "imker-cli-"));
const policyFile = join(folder, "web.yaml");
const brokenFile = join(folder, "broken.yaml");
const emptyFolder = mkdtempSync(join(tmpdir(), "imker-cli-empty-"));
const nowhere = join(folder, "no.sock");
let rig: Rig;
let socket: string[];

beforeAll(async () => {
  writeFileSync(policyFile, allowPolicy("web", "web", "friend", "{ path: /ok }"));
  writeFileSync(brokenFile, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nspec: {}\n");
  rig = await Rig.start("imker-t-cli");
  socket = ["--socket", rig.stage.socket];
});

afterAll(async () => {
  await rig?.close();
  for (const path of [folder, emptyFolder]) rmSync(path, { recursive: true, force: true });
});

/** In this order: later ones find what earlier ones made. */
const COMMANDS: readonly (readonly [string[], unknown])[] = [
  [
    ["endpoint", "add", "--create", "--name", "web", "--namespace", "test", "--label", "app=web"],
    {
      id: expect.any(Number),
      name: "web",
      namespace: "test",
      identity: expect.any(Number),
      labels: expect.arrayContaining(["k8s:app=web"]),
      ipv4: expect.stringMatching(/^10\./),
      ipv6: expect.stringContaining(":"),
      netns: expect.stringMatching(/^\/run\/netns\//),
      state: "ready",
      policyRevision: expect.any(Number),
      policyAuditMode: false,
    },
  ],
  [["endpoint", "list"], [expect.objectContaining({ name: "web" })]],
  [["endpoint", "get", "test/web"], expect.objectContaining({ name: "web" })],
  [
    ["policy", "apply", "-f", policyFile, "--wait"],
    {
      applied: [
        {
          kind: "CiliumNetworkPolicy",
          namespace: "test",
          name: "web",
          revision: expect.any(Number),
        },
      ],
      errors: [],
      warnings: [],
    },
  ],
  [["policy", "validate", policyFile], expect.objectContaining({ errors: [] })],
  [["policy", "get"], [expect.objectContaining({ name: "web", source: policyFile })]],
  [["policy", "get", "test/web"], [expect.objectContaining({ name: "web" })]],
  [["bpf", "policy", "list", "web"], expect.arrayContaining([expect.any(Object)])],
  [["bpf", "ct", "list"], []],
  [["bpf", "ct", "gc"], expect.objectContaining({ capacity: 131_072 })],
  [["bpf", "ipcache", "list"], expect.arrayContaining([expect.any(Object)])],
  [["bpf", "ipcache", "get", "198.18.7.7"], [{ prefix: "198.18.7.7", identity: 9 }]],
  [
    [
      "bpf",
      "policy",
      "get",
      "web",
      "--identity",
      "1",
      "--direction",
      "egress",
      "--protocol",
      "gre",
    ],
    [expect.objectContaining({ direction: "egress", identity: 0, protocol: 0, deny: false })],
  ],
  [
    ["endpoint", "config", "web", "PolicyAuditMode=Enabled"],
    expect.objectContaining({ policyAuditMode: true }),
  ],
  [
    ["status"],
    {
      agent: expect.objectContaining({ node: "imker-t-cli", endpoints: 1, policies: 1 }),
      proxy: expect.objectContaining({
        runtime: "node",
        workers: 2,
        pid: expect.any(Number),
        revision: expect.any(Number),
      }),
      features: expect.arrayContaining([expect.objectContaining({ available: true })]),
      conntrack: expect.objectContaining({ capacity: 131_072 }),
      degraded: [],
    },
  ],
  [["proxy", "upgrade", "--drain", "1"], expect.objectContaining({ runtime: "node" })],
  [["policy", "delete", "test/web", "--wait"], [expect.objectContaining({ name: "web" })]],
  [["endpoint", "delete", "web"], expect.objectContaining({ name: "web" })],
];

describe.each(["before", "behind"])("--json %s the command", (place) => {
  it.each(COMMANDS.map(([args, shape]) => ({ name: args.slice(0, 3).join(" "), args, shape })))(
    "$name",
    async ({ args, shape }) => {
      const all =
        place === "before" ? [...socket, "--json", ...args] : [...args, "--json", ...socket];
      const outcome = await imker(...all);
      expect(outcome.err).toBe("");
      expect(outcome.code).toBe(0);
      expect(JSON.parse(outcome.out)).toEqual(shape);
    },
    TIMEOUT_MS,
  );
});

describe("what went wrong is one line and an exit code", () => {
  it.each<[string, string[], number, RegExp]>([
    ["an unknown command", ["polcy"], 1, /unknown command 'polcy'/],
    ["an unknown option", ["status", "--jsn"], 1, /unknown option '--jsn'/],
    [
      "an endpoint that is not there",
      ["endpoint", "get", "nope"],
      1,
      /Cannot find endpoint "nope"/,
    ],
    [
      "a connection that is not there",
      ["bpf", "ct", "get", "tcp", "10.0.0.1:1", "[fd00::1]:2"],
      1,
      /Cannot find the connection/,
    ],
    [
      "an end that is none",
      ["bpf", "ct", "get", "6", "x", "10.0.0.1"],
      1,
      /expected 10\.0\.0\.1:80/,
    ],
    ["a protocol that is none", ["bpf", "ct", "get", "tpc", "x", "y"], 1, /one of .*TCP/],
    [
      "an option that is none",
      ["endpoint", "config", "x", "Audit=1"],
      1,
      /PolicyAuditMode=Enabled/,
    ],
    ["a name that is none", ["endpoint", "add", "--name", "Bad_Name"], 1, /expected a pod name/],
    ["a label that is none", ["endpoint", "add", "--name", "a", "--label", "x"], 1, /key=value/],
    [
      "a namespace that is not there",
      ["endpoint", "add", "--name", "a", "--netns", "/run/netns/nope"],
      1,
      /no network namespace \/run\/netns\/nope/,
    ],
    [
      "two ways to choose a namespace",
      ["endpoint", "add", "--name", "a", "--create", "--netns", "/x"],
      1,
      /choose one/,
    ],
    ["a file that is not there", ["policy", "apply", "-f", "/nope"], 1, /Cannot read \/nope/],
    ["a folder without policies", ["policy", "apply", "-f", emptyFolder], 1, /no \.yaml/],
    ["a policy with an error", ["policy", "apply", "-f", brokenFile], 1, /metadata/],
    ["the same, only looked at", ["policy", "validate", folder], 1, /broken\.yaml/],
    ["a policy that is not there", ["policy", "delete", "nope"], 1, /Cannot find policy "nope"/],
    ["a pool that is none", ["agent", "--ipv4-pool", "foo"], 1, /--ipv4-pool: .*expected a CIDR/],
    ["a policy folder that is not there", ["agent", "--policy-dir", "/no"], 1, /no such folder/],
    ["a device that is not there", ["agent", "--device", "no0"], 2, /no such interface/],
    ["a second agent", ["agent", "--run-dir", "/run/imker-t-cli"], 2, /another one answers/],
  ])("%s", async (_name, args, code, message) => {
    const outcome = await imker(...socket, ...args);
    expect(outcome.err).toMatch(message);
    expect(outcome.code).toBe(code);
  });

  it("no agent: 3, and validating needs none", async () => {
    const status = await imker("--socket", nowhere, "status");
    expect(status.code).toBe(3);
    expect(status.err).toMatch(/^imker: Cannot reach the agent at .*no\.sock.*\n$/);
    const validate = await imker("--socket", nowhere, "policy", "validate", policyFile);
    expect([validate.code, validate.out]).toEqual([0, "CiliumNetworkPolicy test/web is valid\n"]);
    const broken = await imker("--socket", nowhere, "policy", "validate", brokenFile, "--json");
    expect(broken.code).toBe(1);
    expect(JSON.parse(broken.out).errors[0]).toMatchObject({
      file: brokenFile,
      document: 0,
      path: expect.stringContaining("metadata"),
      message: expect.any(String),
      expected: expect.any(String),
    });
  });

  it("every command has help", async () => {
    const { out } = await imker("--help");
    const names = [...out.matchAll(/^ {2}([a-z]+)(?: |$)/gm)].map((match) => match[1] ?? "");
    expect(names).toContain("endpoint");
    for (const name of names.filter((one) => one !== "help")) {
      const help = await imker(name, "--help");
      expect([name, help.code, help.out.startsWith(`Usage: imker ${name}`)]).toEqual([
        name,
        0,
        true,
      ]);
    }
  });
});
