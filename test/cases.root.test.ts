/**
 * From a denial on a node to a case that reproduces it: recorded, told of, kept, fetched by its id
 * and by the uuid of the flow, judged again by the package that judged it first.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CaseView } from "../host/admin/case-schema.ts";
import { createContext } from "../host/cli/context.ts";
import { runCli } from "../host/cli/main.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { allowPolicy, pause, Rig } from "./rig.ts";

const WAIT_MS_MAX = 5_000;
const START_MS = 60_000;

describe.each(["node", "deno"] as const)(
  "cases, proxy on %s",
  (runtime) => {
    let rig: Rig;
    let web: Endpoint;
    let friend: Endpoint;

    beforeAll(async () => {
      rig = await Rig.start("imker-t-case", runtime);
      web = await rig.pod("web", 8080);
      friend = await rig.pod("friend");
      await rig.apply(allowPolicy("web", "web", "friend", "{ path: /ok }"));
    }, START_MS);
    afterAll(() => rig?.close());

    const cases = (): Promise<CaseView[]> => rig.client.call("GET", "/v1/cases");

    async function imker(...args: string[]): Promise<{ out: string; code: number }> {
      let out = "";
      const hear = (text: string): void => {
        out += text;
      };
      const streams = { out: hear, err: hear, socket: rig.stage.socket };
      const code = await runCli(args, createContext(streams));
      return { out, code };
    }

    /** Uuid of the last message that was denied. */
    async function deniedFlow(): Promise<string | undefined> {
      let uuid: string | undefined;
      for await (const line of rig.client.lines("/v1/flows?last=50")) {
        if (line === "") continue;
        const { flow } = JSON.parse(line) as { flow?: Record<string, string> };
        const isDenial = flow?.verdict === "DROPPED" && flow.Type === "L7";
        if (isDenial) uuid = flow.uuid;
      }
      return uuid;
    }

    async function someCases(count: number): Promise<CaseView[]> {
      const deadline = performance.now() + WAIT_MS_MAX;
      for (;;) {
        const all = await cases();
        if (all.length >= count || performance.now() > deadline) return all;
        await pause(20);
      }
    }

    it("nothing is kept before somebody asks for it", async () => {
      expect(await rig.curl(friend, web, "/secret")).toBe("403");
      await pause(100);
      expect(await cases()).toEqual([]);
      const none = await imker("plugin", "case", "0123456789ab");
      expect([none.code, none.out]).toEqual([1, expect.stringMatching(/plugin record/)]);
      expect(await rig.client.call("GET", `/v1/cases/${await deniedFlow()}`)).toMatchObject({
        stages: [{ point: "ingress", rules: [{ path: "/ok" }] }],
        steps: [],
        observed: { records: [expect.stringMatching(/^request 0 denied by stage 0 .*\/secret/)] },
        ...{ exact: false, partial: ["its bytes were not recorded"] },
      });
    });

    it("a denial while a recording runs becomes an exact case that reproduces", async () => {
      const started = await imker(
        "plugin",
        "record",
        "l7-http",
        "--policy",
        "test/web",
        "--for",
        "1m",
      );
      expect(started).toMatchObject({ code: 0, out: expect.stringMatching(/l7-http +test\/web/) });
      expect(await rig.curl(friend, web, "/ok")).toBe("200");
      expect(await rig.curl(friend, web, "/secret")).toBe("403");
      const [one] = await someCases(1);
      expect(one).toMatchObject({ cause: "denied", exact: true, partial: [] });
      expect((await cases()).length).toBe(1);
      for (const reference of [one?.id, one?.flow]) {
        const judged = await imker("plugin", "case", String(reference));
        expect(judged).toEqual({ code: 0, out: "✓ reproduces; the case is exact\n" });
      }
      const folder = join(rig.stage.runDir, "state", "cases");
      const [file = ""] = readdirSync(folder);
      expect([file, statSync(join(folder, file)).mode & 0o777]).toEqual([`${one?.id}.json`, 0o600]);
      const log = readFileSync(join(rig.stage.runDir, "state", "audit.log"), "utf8");
      expect(log).toContain(`"path":"/v1/cases/${one?.id}"`);
    });

    it("outlives the agent, which records nothing any more", async () => {
      const [before] = await cases();
      await rig.restartAgent("SIGTERM");
      expect(await cases()).toEqual([{ ...before, time: expect.any(String), flow: null }]);
      expect(await rig.client.call("GET", "/v1/plugins/l7-http/recordings")).toEqual([]);
      expect(await rig.curl(friend, web, "/secret")).toBe("403");
      await pause(200);
      expect((await cases()).length).toBe(1);
      expect((await imker("plugin", "cases", "--remove", String(before?.id))).code).toBe(0);
      expect(await cases()).toEqual([]);
    });
  },
  START_MS,
);
