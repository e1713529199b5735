import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ProxyState, RuleSet } from "../contract/control.ts";
import { COMMANDS, freePort, guestPackage, ProxyRig, talk, until } from "./testing/proxy-rig.ts";

let rig: ProxyRig;
beforeEach(async () => {
  rig = await ProxyRig.open();
});
afterEach(() => rig.close());

/** A plugin that passes everything, and a rule set of it. */
async function passState(revision: number): Promise<ProxyState> {
  return rig.state(revision, await guestPackage());
}

async function refuses(port: number): Promise<true | undefined> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  try {
    await once(socket, "connect");
    return undefined;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
}

describe.each(["node", "deno"] as const)("the proxy process on %s", (runtime) => {
  test("takes a state, serves, survives kill -9 with it", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const [control, child] = await rig.start(runtime, port);
    expect(statSync(join(rig.folder, "proxy.sock")).mode & 0o777).toBe(0o600);
    await expect(rig.echo(port, "too early")).rejects.toThrow(/ECONNREFUSED/);

    const state = await passState(7);
    expect(await control.send({ kind: "state", state })).toEqual({ seq: 2, ok: true });
    const live = await rig.echo(port, "hello");
    const reply = await control.send({ kind: "status" });
    const status = reply.ok ? reply.status : undefined;
    expect(status).toMatchObject({
      revision: 7,
      workers: 2,
      connections: 1,
      instances: 1,
      runtime,
    });
    expect(await control.send({ kind: "reevaluate", endpoints: [1] })).toMatchObject({ ok: true });
    await talk(live, "still here");

    child.kill("SIGKILL");
    await once(child, "exit");
    const [again] = await rig.start(runtime, port);
    const hello = await again.send({ kind: "hello", protocol: 2 });
    expect(hello.ok && hello.hello?.revision).toBe(7);
    await rig.echo(port, "enforcing without an agent");
  });

  test("refuses what it cannot use and keeps what it has", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const [control] = await rig.start(runtime, port);
    const state = await passState(1);
    await control.send({ kind: "state", state });
    const wrong = async (change: Partial<ProxyState>): Promise<string> => {
      const reply = await control.send({ kind: "state", state: { ...state, ...change } });
      return reply.ok ? "accepted" : reply.error;
    };
    const digest = state.plugins[0]?.digest ?? "";
    const form = { digest, compiled: "", patterns: [] };
    const fresh: RuleSet = {
      ...{ id: 2, plugin: "fixture", mode: "enforce", failure: "closed" },
      forms: [form],
    };
    const bad = { ...form, patterns: [{ handle: 1, source: "(" }] };
    expect(await wrong({ ruleSets: [{ ...fresh, plugin: "gone" }] })).toMatch(/gone is not/);
    expect(await wrong({ ruleSets: [{ ...fresh, forms: [bad] }] })).not.toBe("accepted");
    expect(await wrong({ ruleSets: [{ ...fresh, forms: [] }] })).toMatch(/no form for version/);
    const other = `sha256:${"0".repeat(64)}`;
    expect(await wrong({ services: [{ plugin: "fixture", active: other }] })).toMatch(
      /sha256:0000.* is not in the state/,
    );
    expect(await control.send({ kind: "nonsense" })).toMatchObject({ ok: false });
    expect(await control.raw("{")).toMatchObject({ ok: false, seq: 0 });
    expect(await control.send({ kind: "status" })).toMatchObject({ status: { revision: 1 } });
    await rig.echo(port, "as before");
  });

  test("an upgrade: old connections stay, new ones go to the new", {
    timeout: 60_000,
  }, async () => {
    const port = await freePort();
    const [old, oldChild] = await rig.start(runtime, port);
    await old.send({ kind: "state", state: await passState(1) });
    const live = await rig.echo(port, "old");
    const [fresh] = await rig.start(runtime, port);
    expect(await old.send({ kind: "drain", timeoutMs: 10_000 })).toMatchObject({ ok: true });
    await new Promise((resolve) => setTimeout(resolve, 600));
    await talk(live, "still served by the old");
    const next = await rig.echo(port, "new");
    const status = await fresh.send({ kind: "status" });
    expect(status).toMatchObject({ status: { connections: 1 } });
    live.destroy();
    await once(oldChild, "exit");
    expect(oldChild.exitCode).toBe(0);
    await talk(next, "undisturbed");
    expect(existsSync(join(rig.folder, "proxy.sock"))).toBe(true);
    expect(existsSync(join(rig.folder, "records-0.sock"))).toBe(true);
  });

  test("SIGTERM: an open connection may end, then it exits", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const [control, child] = await rig.start(runtime, port);
    await control.send({ kind: "state", state: await passState(1) });
    const live = await rig.echo(port, "open");
    child.kill("SIGTERM");
    await until("no listener", () => refuses(port));
    await talk(live, "last words");
    live.end();
    await once(child, "exit");
    expect(child.exitCode).toBe(0);
    expect(existsSync(join(rig.folder, "proxy.sock"))).toBe(false);
  });
});

test("wrong options: one line, exit code 1", async () => {
  const [program, ...args] = COMMANDS.node;
  const child = spawn(program, [...args, "--workers", "none"]);
  let text = "";
  child.stderr.on("data", (chunk) => {
    text += chunk;
  });
  const [code] = await once(child, "exit");
  expect(code).toBe(1);
  expect(text).toBe("Cannot use --workers none: not 1 to 64\n");
});
