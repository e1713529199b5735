/**
 * What must never happen when processes die: a denied flow allowed once, an allowed one held up,
 * bytes that nobody parsed. Real kernel, real sockets, requests every 10 ms throughout.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Endpoint } from "../host/endpoint/types.ts";
import { databaseFile } from "../host/options.ts";
import { SqliteStore } from "../host/store/sqlite.ts";
import { allowPolicy, pause, Rig } from "./rig.ts";

const IMKER = join(dirname(import.meta.dirname), "imker");

describe("agent and proxy die and come back", () => {
  let rig: Rig;
  let web: Endpoint;
  let friend: Endpoint;
  let stranger: Endpoint;

  beforeAll(async () => {
    rig = await Rig.start("imker-t-days");
    web = await rig.pod("web", 8080);
    friend = await rig.pod("friend");
    stranger = await rig.pod("stranger");
    await rig.apply(allowPolicy("web", "web", "friend", "{ path: /ok }"));
  });
  afterAll(() => rig?.close());

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "agent %s and restart: verdicts stay the same throughout",
    async (signal) => {
      const url = `http://${web.ipv4}:8080`;
      const allowed = await rig.probe(friend, `${url}/ok`);
      const denied = await rig.probe(friend, `${url}/secret`);
      const dropped = await rig.probe(stranger, `${url}/ok`);
      await pause(300);
      const before = await rig.status();
      await rig.restartAgent(signal, 500);
      await pause(300);
      const after = await rig.status();
      const [ok, no, drop] = await Promise.all([allowed.stop(), denied.stop(), dropped.stop()]);
      expect(Object.keys(ok).sort()).toEqual(["200", "longestGapMs"]);
      expect(ok["200"]).toBeGreaterThan(50);
      expect(Object.keys(no).sort()).toEqual(["403", "longestGapMs"]);
      expect(drop["200"]).toBeUndefined();
      expect(after.proxy?.pid).toBe(before.proxy?.pid);
      expect(after.degraded).toEqual([]);
    },
  );

  it("a connection in flight goes on over an agent restart", async () => {
    const connection = openFrom(friend, web, 8080);
    connection.send("GET /ok HTTP/1.1\r\nHost: web\r\n\r\n");
    expect(await connection.until("\r\n\r\n")).toContain("200 OK");
    await rig.restartAgent("SIGKILL");
    connection.send("GET /ok HTTP/1.1\r\nHost: web\r\n\r\n");
    expect(await connection.until("200 OK")).toContain("200 OK");
    connection.send("GET /no HTTP/1.1\r\nHost: web\r\n\r\n");
    expect(await connection.until("Access denied")).toContain("403");
    connection.close();
  });

  it("proxy kill -9: new connections work within 1 s, nothing unparsed passes", async () => {
    const connection = openFrom(friend, web, 8080);
    connection.send("POST /ok HTTP/1.1\r\nHost: web\r\nContent-Length: 1000\r\n\r\nhalf");
    const denied = await rig.probe(friend, `http://${web.ipv4}:8080/secret`);
    const allowed = await rig.probe(friend, `http://${web.ipv4}:8080/ok`, 20);
    await pause(300);
    const { proxy } = await rig.status();
    process.kill(proxy?.pid ?? 0, "SIGKILL");
    await pause(1500);
    const [ok, no] = await Promise.all([allowed.stop(), denied.stop()]);
    expect(no["200"]).toBeUndefined();
    expect(ok.longestGapMs).toBeLessThan(1000);
    expect((await rig.status()).proxy?.pid).not.toBe(proxy?.pid);
    expect(await connection.ended()).toBe(true);
  });

  it("agent killed while it makes a pod: the next one removes what there is of it", async () => {
    const { agent } = await rig.status();
    const { nodeNetns, runDir } = rig.stage;
    const half = { ifname: "imk77", netns: "/run/netns/imk-half", ownsNetns: true };
    await rig.killAgent("SIGKILL");
    const store = new SqliteStore(databaseFile(`${runDir}/state`));
    store.put("endpoints-begun/77", JSON.stringify(half));
    store.close();
    execFileSync("ip", ["netns", "add", "imk-half"]);
    const link = ["link", "add", half.ifname, "type", "veth", "peer", "name", "eth0"];
    execFileSync("nsenter", [`--net=${nodeNetns}`, "ip", ...link, "netns", "imk-half"]);
    await rig.startAgent();
    expect((await rig.status()).agent.pid).not.toBe(agent.pid);
    expect(existsSync(half.netns)).toBe(false);
    const links = execFileSync("nsenter", [`--net=${nodeNetns}`, "ip", "-o", "link"]);
    expect(String(links)).not.toContain(half.ifname);
  });

  it("a second agent on the same kernel objects: refused, whatever its own folders", () => {
    const { nodeNetns, bpffs, runDir } = rig.stage;
    const folders = ["--run-dir", `${runDir}/b`, "--state-dir", `${runDir}/b/state`];
    const agent = [IMKER, "agent", ...folders, "--bpffs", bpffs];
    const run = spawnSync("nsenter", [`--net=${nodeNetns}`, ...agent], { encoding: "utf8" });
    expect(run.stderr).toContain(`Cannot start: another agent uses ${bpffs}`);
    expect(run.status).toBe(2);
  });

  it("pins of all maps gone: the next agent makes new ones, and a proxy that knows them", async () => {
    const before = await rig.status();
    const maps = `${rig.stage.bpffs}/maps`;
    for (const file of readdirSync(maps)) unlinkSync(`${maps}/${file}`);
    await rig.restartAgent("SIGKILL");
    const after = await rig.status();
    expect(after.degraded).toEqual([]);
    expect(after.proxy?.pid).not.toBe(before.proxy?.pid);
    expect(await rig.curl(friend, web, "/ok")).toBe("200");
    expect(await rig.curl(friend, web, "/secret")).toBe("403");
    expect(await rig.curl(stranger, web, "/ok")).toBe("no answer");
  });

  it("the database lost: no agent guesses; what is enforced stays", async () => {
    const stateDir = `${rig.stage.runDir}/state`;
    await rig.killAgent("SIGTERM");
    renameSync(stateDir, `${stateDir}-kept`);
    await expect(rig.startAgent()).rejects.toThrow(
      /enforces for endpoints that the database does not know: 1 \(.*\), 2 .*--state-dir/,
    );
    expect(await rig.curl(friend, web, "/ok")).toBe("200");
    expect(await rig.curl(stranger, web, "/ok")).toBe("no answer");
    rmSync(stateDir, { recursive: true });
    renameSync(`${stateDir}-kept`, stateDir);
    await rig.startAgent();
    expect(await rig.curl(friend, web, "/secret")).toBe("403");
  });

  it("proxy upgrade: connections of the old one go on, new ones use the new one", async () => {
    const connection = openFrom(friend, web, 8080);
    connection.send("GET /ok HTTP/1.1\r\nHost: web\r\n\r\n");
    await connection.until("200 OK");
    const allowed = await rig.probe(friend, `http://${web.ipv4}:8080/ok`);
    const before = await rig.status();
    await rig.client.call("POST", "/v1/proxy/upgrade", { drainSeconds: 30 });
    const after = await rig.status();
    expect(after.proxy?.pid).not.toBe(before.proxy?.pid);
    connection.send("GET /ok HTTP/1.1\r\nHost: web\r\n\r\n");
    expect(await connection.until("200 OK")).toContain("200 OK");
    connection.close();
    const ok = await allowed.stop();
    expect(Object.keys(ok).sort()).toEqual(["200", "longestGapMs"]);
  });
});

interface Connection {
  send(text: string): void;
  /** Everything received since the last call, up to and with `mark`; rejects when it ends first. */
  until(mark: string): Promise<string>;
  /** Whether the other side ended it, waiting a second for it. */
  ended(): Promise<boolean>;
  close(): void;
}

/** A TCP connection out of a pod's namespace, through a helper that runs there. */
function openFrom(from: Endpoint, to: Endpoint, port: number): Connection {
  const child = spawn(
    "nsenter",
    [`--net=${from.netns}`, process.execPath, "-e", PIPE, to.ipv4, String(port)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  let received = "";
  let over = false;
  let wake = (): void => {};
  child.stdout.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    wake();
  });
  child.on("exit", () => {
    over = true;
    wake();
  });
  return {
    send: (text) => child.stdin.write(text),
    async until(mark) {
      for (;;) {
        const at = received.indexOf(mark);
        if (at >= 0) {
          const text = received.slice(0, at + mark.length);
          received = received.slice(at + mark.length);
          return text;
        }
        if (over) throw new Error(`the connection ended before ${JSON.stringify(mark)}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async ended() {
      for (let waited = 0; !over && waited < 1000; waited += 50) await pause(50);
      return over;
    },
    close: () => child.kill("SIGKILL"),
  };
}

/** stdin and stdout of the helper are the connection. */
const PIPE = `
const socket = require("node:net").connect({ host: process.argv[1], port: process.argv[2] });
process.stdin.pipe(socket);
socket.pipe(process.stdout);
socket.on("error", () => process.exit(1));
socket.on("close", () => process.exit(0));
`;
