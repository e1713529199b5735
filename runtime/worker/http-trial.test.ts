/**
 * Trials of the real HTTP plugin over real sockets: all its vectors, cut at random, are no
 * difference between two instances of it; one changed answer is exactly one, in its place.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Trial } from "../contract/control.ts";
import { instantiate } from "../isolate/index.ts";
import type { PluginImage } from "../isolate/types.ts";
import { builtImage, ROOT } from "../testkit/built-plugin.ts";
import { seededRandom } from "../testkit/mutation.ts";
import { prepareRules } from "../testkit/run-vector.ts";
import { readVectors, type Vector, type VectorRules } from "../testkit/vectors.ts";
import type { LoadedForm, StateChange } from "./rule-store.ts";
import { trialOf } from "./testing/native-state.ts";
import { Rig } from "./testing/rig.ts";

const FOLDER = join(ROOT, "plugins/l7-http");
/** As deep as the plugin's own folder: it imports the SDK by relative path. */
const CHANGED = join(ROOT, `.build/http-changed-${process.pid}`);
const FIRST_RULE_SET = 10;
const ANSWER = "HTTP/1.1 204 No Content\r\n\r\n";
const ANYTHING: VectorRules = [{}];

const vectors = ["vectors.md", ...readdirSync(join(FOLDER, "testdata")).map((n) => `testdata/${n}`)]
  .filter((name) => name.endsWith(".md"))
  .flatMap((name) => readVectors(readFileSync(join(FOLDER, name), "utf8")))
  .filter(({ stages, steps }) => stages.length < 3 && steps.every(({ kind }) => kind !== "stages"));

let active: PluginImage;
let changed: PluginImage;

beforeAll(async () => {
  active = await builtImage(FOLDER);
  cpSync(FOLDER, CHANGED, { recursive: true, filter: (path) => !path.endsWith(".test.ts") });
  const answers = join(CHANGED, "answers.ts");
  writeFileSync(
    answers,
    readFileSync(answers, "utf8").replaceAll("Access denied", "Access DENIED"),
  );
  changed = await builtImage(CHANGED);
}, 240_000);
afterAll(() => rmSync(CHANGED, { recursive: true, force: true }));

/** The same code under another digest. */
const again = (image: PluginImage): PluginImage => ({ ...image, digest: `${image.digest}-again` });

/** Rule sets with a form for both versions. */
function stateOf(rules: readonly VectorRules[], images: PluginImage[], trial: Trial): StateChange {
  const sources: string[] = [];
  const forms = images.flatMap((image) => {
    const instance = instantiate(image, { emit: () => {}, log: () => {}, match: () => false });
    return rules.map((one, index): LoadedForm => {
      const patterns: LoadedForm["patterns"] = [];
      const prepared = prepareRules(image.manifest, one, (source) => {
        const handle = sources.push(source);
        patterns.push({ handle, source });
        return handle;
      });
      const compiled = instance.compile(prepared).slice().buffer as ArrayBuffer;
      return { ruleSet: FIRST_RULE_SET + index, digest: image.digest, compiled, patterns };
    });
  });
  const ruleSets = rules.map((_, index) => FIRST_RULE_SET + index);
  const [first] = images;
  return {
    revision: 2,
    images,
    ruleSets: ruleSets.map((id) => ({
      ...{ id, plugin: "http", mode: "enforce", failure: "closed" },
    })),
    forms,
    keepPlugins: images.map(({ digest }) => digest),
    keepRuleSets: ruleSets,
    services: [{ plugin: "http", active: first?.digest ?? null, trial }],
    draining: [],
  };
}

/** Plays a vector through real sockets, its bytes cut at random. */
async function play(rig: Rig, port: number, vector: Vector, random: () => number): Promise<void> {
  const before = rig.upstreamSockets.length;
  const client = await rig.connect(port);
  await rig.until("the upstream", () => rig.upstreamSockets.length > before);
  const upstream = rig.upstreamSockets[before];
  upstream?.resume();
  for (const step of vector.steps) {
    if (step.kind === "stages") continue;
    const socket =
      step.kind === "request" || (step.kind === "end" && step.direction === "request")
        ? client.socket
        : upstream;
    if (step.kind !== "end") {
      for (let at = 0; at < step.bytes.length; ) {
        const length = 1 + Math.floor(random() ** 3 * step.bytes.length);
        socket?.write(step.bytes.subarray(at, at + length));
        at += length;
        await rig.turns(2);
      }
    } else if (step.how === "closed") socket?.end();
    else socket?.resetAndDestroy();
    await rig.turns(3);
  }
  await rig.turns(5);
  client.socket.destroy();
  upstream?.destroy();
}

async function withRig(run: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = await Rig.start({ upstream: () => {} });
  try {
    await run(rig);
  } finally {
    await rig.close();
  }
}

describe.each(["shadow", "canary"] as const)("%s", (kind) => {
  test("every vector, cut at random: no difference", { timeout: 120_000 }, () =>
    withRig(async (rig) => {
      expect(vectors.length).toBeGreaterThan(40);
      const tried = again(active);
      const rules = vectors.flatMap(({ stages: [egress, ingress] }) => [
        egress ?? ANYTHING,
        ingress ?? ANYTHING,
      ]);
      rig.worker.apply(stateOf(rules, [active, tried], trialOf(tried.digest, kind)));
      const random = seededRandom(7);
      const ports = vectors.map(({ stages }, index) =>
        rig.listen({
          egressRules: FIRST_RULE_SET + 2 * index,
          ingressRules: stages.length === 2 ? FIRST_RULE_SET + 2 * index + 1 : 0,
        }),
      );
      for (let round = 0; round < 3; round++) {
        for (const [index, vector] of vectors.entries()) {
          await play(rig, ports[index] ?? 0, vector, random);
        }
      }
      await rig.until("no connection", () => rig.worker.live === 0);
      const [trial] = rig.worker.status().trials;
      expect(trial).toMatchObject({ samples: [], differences: 0, faults: 0 });
      expect(trial?.connections).toBe(3 * vectors.length);
      expect(trial?.compared).toBeGreaterThan(3 * vectors.length);
      expect(trial?.fuelTried).toBe(trial?.fuelActive);
    }),
  );

  test("one changed answer: one sample a connection, in its place", { timeout: 60_000 }, () =>
    withRig(async (rig) => {
      const rules: VectorRules[] = [[{ method: "GET" }]];
      rig.worker.apply(stateOf(rules, [active, changed], trialOf(changed.digest, kind)));
      const port = rig.listen({ egressRules: FIRST_RULE_SET });
      const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
      const put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
      for (let i = 1; i <= 3; i++) {
        const peer = await rig.connect(port);
        peer.write(get);
        await rig.until("the upstream", () => rig.upstreamSockets.length === i);
        rig.upstreamSockets[i - 1]?.write(ANSWER);
        await peer.receives(ANSWER);
        peer.write(`${put}${put}`);
        await rig.until("the difference", () => rig.worker.status().trials[0]?.differences === i);
      }
      const [trial] = rig.worker.status().trials;
      expect(trial?.samples).toHaveLength(3);
      for (const sample of trial?.samples ?? []) {
        expect(sample).toMatchObject({ direction: "request", what: "bytes" });
        expect([get.length, get.length + put.length]).toContain(sample.offset);
        expect(sample.active).toContain("denied");
        expect(sample.tried).toContain("DENIED");
      }
    }),
  );
});
