import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { frame, type PacketText, pcap } from "../../../runtime/testkit/capture/packet-fixture.ts";
import { createContext } from "../context.ts";
import { runCli } from "../main.ts";

const folder = mkdtempSync(join(tmpdir(), "imker-author-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function imker(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const context = createContext({
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  const code = await runCli(argv, context);
  process.exitCode = undefined;
  return { code, ...said };
}

test("from a name to a package that passes the kit", { timeout: 120_000 }, async () => {
  const project = join(folder, "mine");
  const made = await imker("plugin", "new", "mine", "--dir", project, "--json");
  expect(made.code).toBe(0);
  expect(JSON.parse(made.out)).toMatchObject({ name: "mine", folder: project });

  const file = join(folder, "mine.wasm");
  const built = await imker("plugin", "build", project, "-o", file, "--json");
  expect(built.code).toBe(0);
  const { digest, bytes, capabilities } = JSON.parse(built.out);
  expect(digest).toMatch(/^sha256:/);
  expect(bytes).toBe(readFileSync(file).length);
  expect(capabilities).toEqual(["emit", "match"]);

  const checked = await imker("plugin", "check", "--quick", "--json", file);
  expect(JSON.parse(checked.out)).toMatchObject({ ok: true, messages: 20_000, digest });
  expect(checked.code).toBe(0);
  const refused = await imker("plugin", "check", "--quick", file, "--grant", "emit");
  expect(refused).toMatchObject({ code: 1, out: expect.stringMatching(/✗ imports/) });

  const packets: PacketText[] = [
    { request: true, sequence: 99, flags: ["syn"] },
    { request: true, sequence: 100, flags: ["ack"], text: "SET a 1\r\n" },
  ];
  const capture = join(folder, "one.pcap");
  const rules = join(folder, "rules.json");
  writeFileSync(capture, pcap(packets.map(frame)));
  writeFileSync(rules, '[{"command": "GET"}]');
  const replayed = await imker("plugin", "replay", capture, "--plugin", file, "--rules", rules);
  expect(replayed.code).toBe(0);
  expect(replayed.out).toContain("request 0 denied by stage 0 command=SET key=a");
});

test.each([
  [["plugin", "build", "/nowhere"], /Cannot read \/nowhere\/plugin.json/],
  [["plugin", "new", "Not A Name"], /Cannot name a plugin/],
  [["plugin", "check", "/nowhere"], /Cannot read \/nowhere/],
  [["plugin", "replay", "/nowhere", "--plugin", "."], /Cannot read \/nowhere/],
  [["plugin", "case", "/nowhere"], /Cannot read \/nowhere/],
])("imker %j says what is wrong", async (argv, reason) => {
  const before = readdirSync(".");
  const { code, err } = await imker(...argv);
  expect(code).toBe(1);
  expect(err).toMatch(reason);
  expect(readdirSync(".")).toEqual(before);
});
