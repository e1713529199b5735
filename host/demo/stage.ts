/**
 * The demo's machines: a node and an outside world, each a network namespace, so that nothing the
 * demo sends can leave this machine and everything it made can be removed by name.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { WORLD } from "./scenario.ts";

const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const SERVER = join(PROJECT, "host", "demo", "server.ts");

export const STAGE = {
  node: "imker-demo",
  world: "imker-demo-world",
  device: "outside",
  runDir: "/run/imker-demo",
  stateDir: "/run/imker-demo/state",
  bpffs: "/sys/fs/bpf/imker-demo",
  socket: "/run/imker-demo/admin.sock",
} as const;

const netnsPath = (name: string): string => `/run/netns/${name}`;

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}

function ipIn(netns: string, ...args: string[]): void {
  execFileSync("nsenter", [`--net=${netnsPath(netns)}`, "ip", ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** Node and world, connected; throws when a demo is still there. */
export function buildStage(): void {
  mkdirSync(STAGE.runDir, { recursive: true, mode: 0o700 });
  ip("netns", "add", STAGE.node);
  ip("netns", "add", STAGE.world);
  for (const netns of [STAGE.node, STAGE.world]) {
    // No duplicate address detection: addresses must be usable at once.
    execFileSync("nsenter", [
      `--net=${netnsPath(netns)}`,
      "sysctl",
      "-qw",
      "net.ipv6.conf.all.accept_dad=0",
      "net.ipv6.conf.default.accept_dad=0",
    ]);
    ipIn(netns, "link", "set", "lo", "up");
  }
  ipIn(
    STAGE.node,
    "link",
    "add",
    STAGE.device,
    "type",
    "veth",
    "peer",
    "name",
    "node",
    "netns",
    STAGE.world,
  );
  const { node4, node6, partner4, partner6, excepted4 } = WORLD;
  for (const [netns, device, addresses] of [
    [STAGE.node, STAGE.device, [`${node4}/24`, `${node6}/64`]],
    [STAGE.world, "node", [`${partner4}/24`, `${excepted4}/24`, `${partner6}/64`]],
  ] as const) {
    for (const address of addresses) {
      ipIn(
        netns,
        "address",
        "add",
        address,
        "dev",
        device,
        ...(address.includes(":") ? ["nodad"] : []),
      );
    }
    ipIn(netns, "link", "set", device, "up");
  }
  ipIn(STAGE.world, "route", "add", "default", "via", node4);
  ipIn(STAGE.world, "-6", "route", "add", "default", "via", node6);
}

export function stageExists(): boolean {
  return existsSync(netnsPath(STAGE.node)) || existsSync(netnsPath(STAGE.world));
}

/** Namespaces and files; what the agent made in the kernel is the uninstaller's. */
export function removeStage(): void {
  for (const netns of [STAGE.world, STAGE.node]) {
    if (existsSync(netnsPath(netns))) ip("netns", "delete", netns);
  }
  rmSync(STAGE.runDir, { recursive: true, force: true });
}

/** Runs `imker uninstall` where the agent ran: rules and routes belong to that namespace. */
export function uninstallStage(): void {
  const enter = existsSync(netnsPath(STAGE.node)) ? [`--net=${netnsPath(STAGE.node)}`] : [];
  const flags = {
    "--run-dir": STAGE.runDir,
    "--state-dir": STAGE.stateDir,
    "--bpffs": STAGE.bpffs,
  };
  execFileSync(
    "nsenter",
    [...enter, join(PROJECT, "imker"), "uninstall", ...Object.entries(flags).flat()],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
}

/** Starts the agent inside the node's namespace, detached: with --keep it must outlive the demo. */
export function startAgent(runtime: string): ChildProcess {
  const log = openSync(join(STAGE.runDir, "agent.log"), "a", 0o600);
  const flags = {
    "--run-dir": STAGE.runDir,
    "--state-dir": STAGE.stateDir,
    "--bpffs": STAGE.bpffs,
    "--device": STAGE.device,
    "--node": STAGE.node,
    "--runtime": runtime,
    "--workers": "2",
  };
  const child = spawn(
    "nsenter",
    [
      `--net=${netnsPath(STAGE.node)}`,
      join(PROJECT, "imker"),
      "agent",
      ...Object.entries(flags).flat(),
    ],
    { detached: true, stdio: ["ignore", log, log] },
  );
  child.unref();
  return child;
}

/** Starts an HTTP server in a namespace and resolves when it listens. */
export function startServer(netns: string, port: number, name: string): Promise<ChildProcess> {
  const child = spawn("nsenter", [`--net=${netns}`, process.execPath, SERVER, String(port), name], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`Cannot start the server ${name}: exit ${code}`)),
    );
    child.stdout.once("data", () => {
      child.removeAllListeners("exit");
      child.stdout.destroy();
      child.unref();
      resolve(child);
    });
  });
}

export const worldNetns = (): string => netnsPath(STAGE.world);
