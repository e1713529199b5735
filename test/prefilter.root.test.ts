/**
 * The prefilter as people use it: commands against a real agent, packets from outside that stop at
 * the node's interface, counters and flows that say so, and a list that outlives the agent.
 */
import { execFile } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WORLD } from "../host/demo/scenario.ts";
import type { PrefilterStatus } from "../host/prefilter/prefilter.ts";
import { ROOT } from "../runtime/testkit/built-plugin.ts";
import { Rig } from "./rig.ts";

const PORT = 8080;
const BIG_LIST_LINES = 200_000;
let rig: Rig;

beforeAll(async () => {
  rig = await Rig.start("imker-t-pre", "node", ["--prefilter-event-ms", "0"]);
  await rig.stage.startServer(rig.stage.nodeNetns, PORT, "node");
});
afterAll(() => rig?.close());

async function imker(args: string[], env: Record<string, string> = {}) {
  const all = ["--socket", rig.stage.socket, ...args];
  try {
    const options = { env: { ...process.env, SSH_CONNECTION: "", ...env } };
    const { stdout, stderr } = await promisify(execFile)(join(ROOT, "imker"), all, options);
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}

/** Does the node answer the outside world? */
async function answers(address: string): Promise<boolean> {
  const host = address.includes(":") ? `[${address}]` : address;
  const curl = ["curl", "-s", "-o", "/dev/null", "--max-time", "1", `http://${host}:${PORT}/`];
  return promisify(execFile)("nsenter", [`--net=${rig.stage.worldNetns}`, ...curl]).then(
    () => true,
    () => false,
  );
}

const status = (): Promise<PrefilterStatus> => rig.client.call("GET", "/v1/prefilter");
const both = () => Promise.all([answers(WORLD.node4), answers(WORLD.node6)]);

describe("prefilter", () => {
  it("is on no interface while the list is empty", async () => {
    expect(await both()).toEqual([true, true]);
    expect((await status()).devices).toMatchObject([{ name: "outside", attached: false }]);
  });

  it("add drops what comes from there, in native mode, and says so", async () => {
    const added = await imker(["prefilter", "add", WORLD.partner4, `${WORLD.partner6}/64`]);
    expect(added).toMatchObject({ code: 0, out: "2 added, 0 deleted, 2 in the list\n" });
    expect(await both()).toEqual([false, false]);
    const { devices, counters } = await status();
    expect(devices).toEqual([{ name: "outside", attached: true, mode: "native", detail: "" }]);
    expect(counters.ipv4.droppedPackets).toBeGreaterThan(0);
    expect(counters.ipv6.droppedBytes).toBeGreaterThan(0);
    const flows = await imker(["observe", "--last", "50"]);
    expect(flows.out).toMatch(/CIDR denied by prefilter DROPPED/);
    const shown = await imker(["prefilter", "status"]);
    expect(shown.out).toMatch(/prefixes {2}1 IPv4, 1 IPv6/);
  });

  it("delete lets it in again; the program goes when the list is empty", async () => {
    const gone = await imker(["prefilter", "delete", WORLD.partner4]);
    expect(gone.out).toBe("0 added, 1 deleted, 1 in the list\n");
    expect(await both()).toEqual([true, false]);
    await imker(["prefilter", "delete", `${WORLD.partner6}/64`]);
    expect(await both()).toEqual([true, true]);
    expect(readdirSync(join(rig.stage.bpffs, "prefilter", "links"))).toEqual([]);
  });

  it("load replaces the list as a whole, or not at all", async () => {
    const file = join(rig.stage.runDir, "deny.list");
    writeFileSync(file, `# ours\n${WORLD.partner4}/32 ; SBL1\n\n2001:db8:9::/48\n`);
    expect(await imker(["prefilter", "load", file])).toMatchObject({ code: 0 });
    const list = await imker(["prefilter", "list", "--json"]);
    expect(JSON.parse(list.out)).toEqual([`${WORLD.partner4}/32`, "2001:db8:9::/48"]);
    writeFileSync(file, "10.0.0.0/8\n10.0.0.0/40\n");
    const refused = await imker(["prefilter", "load", file]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/line 2/)]);
    expect((await status()).ipv4).toBe(1);
    expect(await both()).toEqual([false, true]);
  });

  it("does not cut the SSH connection it is told over, unless forced", async () => {
    const ssh = { SSH_CONNECTION: "198.18.7.7 50000 10.0.0.1 22" };
    const file = join(rig.stage.runDir, "all.list");
    writeFileSync(file, "198.18.0.0/15\n");
    for (const args of [
      ["add", "198.18.0.0/15"],
      ["load", file],
    ]) {
      const refused = await imker(["prefilter", ...args], ssh);
      expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/SSH.*--force/)]);
    }
    expect(await imker(["prefilter", "add", "198.18.0.0/15", "--force"], ssh)).toMatchObject({
      code: 0,
    });
  });

  it("drops while the agent is away, and the next agent goes on with it", async () => {
    await imker(["prefilter", "add", "2001:db8:7::/48"]);
    const before = await imker(["prefilter", "list"]);
    const { agent } = await rig.status();
    process.kill(agent.pid, "SIGKILL");
    expect(await both()).toEqual([false, true]);
    await rig.client.close();
    rig.client = await rig.stage.startAgent();
    expect((await imker(["prefilter", "list"])).out).toBe(before.out);
    expect(await both()).toEqual([false, true]);
    expect((await status()).counters.ipv4.droppedPackets).toBeGreaterThan(0);
  });

  it("a long list is loaded while traffic goes on, and shrinks to nothing again", async () => {
    const file = join(rig.stage.runDir, "long.list");
    const lines = Array.from({ length: BIG_LIST_LINES }, (_, at) => {
      return `${1 + (at % 9)}.${(at >> 8) & 255}.${at & 255}.${(at * 7) & 255}\n`;
    });
    writeFileSync(file, lines.join(""));
    const loaded = await imker(["prefilter", "load", file]);
    expect(loaded.err).toMatch(/read 100,000 lines/);
    expect((await status()).ipv4).toBe(new Set(lines).size);
    expect(await both()).toEqual([true, true]);
    writeFileSync(file, "");
    expect(await imker(["prefilter", "load", file])).toMatchObject({ code: 0 });
    expect(await status()).toMatchObject({ ipv4: 0, bytes: 0 });
  });
});
