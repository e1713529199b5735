/**
 * The failure policies at every stage at which a version can fail, in a whole proxy process: closed
 * resets, open passes everything on, and the status says which stage it was.
 */
import { rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FailurePolicy, ProxyState, ProxyStatus } from "../contract/control.ts";
import { assemblePackage } from "../contract/package.ts";
import { FIXTURE_MANIFEST } from "../isolate/guest-fixture.ts";
import { type Control, freePort, guestPackage, ProxyRig, talk } from "./testing/proxy-rig.ts";

const PREAMBLE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 13, 0, 1, 0);
const VECTORS = "# hello\n\n```vector\n> hello\n```\n";

type Stage = "read" | "verify" | "compile" | "start" | "run";
const STAGES: readonly Stage[] = ["read", "verify", "compile", "start", "run"];

let rig: ProxyRig;
beforeEach(async () => {
  rig = await ProxyRig.open();
});
afterEach(() => rig.close());

/** A state whose only version fails at this stage. */
async function broken(stage: Stage, failure: FailurePolicy, revision: number): Promise<ProxyState> {
  const files: Record<Stage, () => Promise<Uint8Array>> = {
    read: () => guestPackage(),
    verify: () => guestPackage(),
    compile: async () => assemblePackage(PREAMBLE, FIXTURE_MANIFEST, ""),
    start: () => guestPackage("unreachable", VECTORS),
    run: () => guestPackage("unreachable"),
  };
  const state = rig.state(revision, await files[stage](), failure);
  const path = state.plugins[0]?.path ?? "";
  if (stage === "read") rmSync(path);
  if (stage === "verify") writeFileSync(path, await guestPackage("unreachable"));
  return state;
}

async function statusOf(control: Control): Promise<ProxyStatus> {
  const reply = await control.send({ kind: "status" });
  if (!reply.ok || reply.status === undefined) throw new Error("Cannot read the status");
  return reply.status;
}

describe.each(["node", "deno"] as const)("on %s", (runtime) => {
  test.each(STAGES.flatMap((stage) => [[stage, "closed"] as const, [stage, "open"] as const]))(
    "fails at %s, %s",
    { timeout: 60_000 },
    async (stage, failure) => {
      const port = await freePort();
      const [control] = await rig.start(runtime, port);
      const state = await broken(stage, failure, 1);
      expect(await control.send({ kind: "state", state })).toMatchObject({ ok: true });
      if (failure === "open") {
        const socket = await rig.echo(port, "hello");
        await talk(socket, "and again");
      } else await expect(rig.echo(port, "hello")).rejects.toThrow(/ECONNRESET|closed/);
      const { versions, counters } = await statusOf(control);
      expect(versions).toHaveLength(1);
      if (stage === "run") expect(versions[0]).toMatchObject({ faults: 1, calls: 1 });
      else expect(versions[0]?.unavailable?.stage).toBe(stage);
      expect(counters.relayed_unseen).toBe(failure === "open" ? 1 : 0);
      expect(counters.refused_no_plugin).toBe(failure === "closed" && stage !== "run" ? 1 : 0);

      // A version that can serve takes over, whatever was wrong with the one before.
      const good = rig.state(2, await guestPackage(), failure);
      const [form] = good.ruleSets[0]?.forms ?? [];
      const ruleSets = state.ruleSets.map((ruleSet) => ({
        ...ruleSet,
        forms: form === undefined ? [] : [form],
      }));
      expect(await control.send({ kind: "state", state: { ...good, ruleSets } })).toMatchObject({
        ok: true,
      });
      await rig.echo(port, "served");
      expect((await statusOf(control)).versions).toMatchObject([{ connections: 1, calls: 2 }]);
      const instances = await control.send({ kind: "instances" });
      expect(instances).toMatchObject({
        instances: [{ connections: 1, calls: 2, tenant: "serve 1000 1001" }],
      });
    },
  );
});
