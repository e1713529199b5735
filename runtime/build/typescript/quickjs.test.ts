/**
 * Plugins in full TypeScript in the sandbox: the language is whole, nothing of a host is there, and
 * what a plugin does wrong costs its instance only, within its limits.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { componentize } from "componentize-qjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PluginImage, PluginInstance } from "../../isolate/index.ts";
import { instantiate, PluginImageError, prepareImage } from "../../isolate/index.ts";
import { buildPlugin } from "../build.ts";
import { BuildError } from "../compile.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const FOLDER = join(ROOT, `.build/testkit/quickjs-${process.pid}`);
const BUILD_MS = 120_000;
const LIMITS = { memoryPagesMax: 64, fuelBase: 20_000_000, fuelPerByte: 1_000 };
const MANIFEST = {
  name: "probe",
  version: "1.0.0",
  contract: "imker:l7@1.0.0",
  description: "",
  language: "typescript",
  status: "alpha",
  securityPosture: "",
  flow: "generic",
  capabilities: ["log"],
  rules: { fields: {} },
  records: { request: { fields: [] }, response: { fields: [] } },
  limits: LIMITS,
};

/** A plugin that runs what the client names, and injects the outcome as its answer. */
const SOURCE = `
import { twice } from "modern-package";
import old from "old-package";
import type { Memory } from "imker/sdk/memory.ts";
import { RESPONSE } from "imker/sdk/output.ts";
import { type Call, Connection, Plugin, RuleSet } from "imker/sdk/plugin.ts";
import type { RuleList } from "imker/sdk/rule-list.ts";

const counted = new Map<string, number>();
enum Colour { Red = "red", Blue = "blue" }

class Point {
  #x: number;
  static made = 0;
  constructor(x: number) { this.#x = x; Point.made++; }
  get x() { return this.#x; }
}

function* upTo(n: number) { for (let i = 0; i < n; i++) yield i; }
const tagged = (parts: TemplateStringsArray, ...values: unknown[]) => parts.join("|") + values.join();

const RUN: Record<string, () => unknown> = {
  language() {
    const adders = [1, 2, 3].map((x) => (y: number) => x + y);
    const { a, ...rest } = { a: 1, b: 2, c: [3, ...upTo(3)] };
    let caught = "";
    try { (undefined as unknown as { x: number }).x; } catch (error) { caught = (error as Error).name; }
    return JSON.stringify({
      closures: adders.map((add) => add(10)), rest, caught, colour: Colour.Blue,
      regexp: "2026-01-02".replace(/(?<y>\\d+)-(?<m>\\d+)-(?<d>\\d+)/u, "$<d>.$<m>.$<y>"),
      sticky: /b/y.test("ab"), big: (2n ** 70n).toString(), tag: tagged\`x\${1}y\${2}\`,
      sorted: [3, 1, 2].toSorted(), grouped: Object.groupBy([1, 2, 3], (n) => n % 2 ? "odd" : "even"),
      x: new Point(4).x, made: Point.made, float: 0.1 + 0.2, text: "äöü€😀".length,
      iso: new Date(0).toISOString(), set: [...new Set([1, 2]).union(new Set([3]))],
    });
  },
  count() { counted.set("n", (counted.get("n") ?? 0) + 1); return counted.get("n"); },
  surroundings() {
    const names = ["process", "require", "fetch", "setTimeout", "Deno", "WebAssembly", "std", "os"];
    return names.filter((name) => name in globalThis).join() + ";" + Date.now() + ";" + performance();
  },
  loop() { for (;;); },
  recursion() { const deep = (n: number): number => deep(n + 1) + 1; return deep(0); },
  memory() { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); },
  regexp() { return /^(a+)+$/.test("a".repeat(40) + "b"); },
  throws() { throw new TypeError("no such luck"); },
  packages() { return twice(20) + old.two; },
  logs() { console.warn("a line", 1); return "ok"; },
};
function performance() { return "own"; }

class Probe extends Plugin {
  readonly memory: Memory;
  constructor(memory: Memory) { super(); this.memory = memory; }
  override compile(rules: RuleList) { rules.succeed(this.memory.allocate(8), 1); }
  override load() { return new RuleSet(); }
  override open() { return new Connection(); }
  override onResponse() {}
  override onRequest(_connection: Connection, call: Call) {
    const answer = String(RUN[this.memory.text(call.start, call.end - call.start)]?.());
    const length = this.memory.textBytes(answer);
    const at = this.memory.allocate(length);
    this.memory.setText(at, answer);
    call.output.inject(RESPONSE, at, length);
    call.output.drop(call.end - call.start);
  }
}
export const createPlugin = (memory: Memory) => new Probe(memory);
`;

let image: PluginImage;
const logged: string[] = [];

/** A package of npm in the project, as it is installed. */
function install(name: string, manifest: object, source: string): void {
  const folder = join(FOLDER, "node_modules", name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name, ...manifest }));
  writeFileSync(join(folder, "index.js"), source);
}

async function build(source: string, manifest: object = MANIFEST): Promise<Uint8Array> {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, "plugin.json"), JSON.stringify(manifest));
  writeFileSync(join(FOLDER, "plugin.ts"), source);
  return (await buildPlugin(ROOT, FOLDER)).component;
}

function start(): { instance: PluginInstance; ask: (what: string) => string } {
  const log = (level: number, message: string) => void logged.push(`${level} ${message}`);
  const instance = instantiate(image, { emit() {}, log, match: () => false });
  const address = new Uint8Array(16);
  const connection = instance.open({
    sourceIdentity: 1,
    destinationIdentity: 2,
    sourceAddress: address,
    destinationAddress: address,
    sourcePort: 1,
    destinationPort: 2,
    stages: [],
  });
  const ask = (what: string): string => {
    const bytes = new TextEncoder().encode(what);
    instance.onData(connection, 0, bytes, 0, bytes.length, 0, 0, 0);
    const { memory, start: at, length } = instance.operations;
    const from = at[0] ?? 0;
    return new TextDecoder().decode(memory.subarray(from, from + (length[0] ?? 0)));
  };
  return { instance, ask };
}

beforeAll(async () => {
  const modern = { type: "module", exports: "./index.js" };
  install("modern-package", modern, "export const twice = (x) => 2 * x;");
  install("old-package", { main: "index.js" }, "module.exports = { two: 2 };");
  const component = await build(SOURCE);
  // `language` is the manifest's: the sandbox does not look at it.
  image = prepareImage(component, { digest: "sha256:0", manifest: MANIFEST as never });
}, BUILD_MS);
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

describe("what is there", () => {
  test("the whole language", () => {
    expect(JSON.parse(start().ask("language"))).toEqual({
      closures: [11, 12, 13],
      rest: { b: 2, c: [3, 0, 1, 2] },
      caught: "TypeError",
      colour: "blue",
      regexp: "02.01.2026",
      sticky: false,
      big: (2n ** 70n).toString(),
      tag: "x|y|1,2",
      sorted: [1, 2, 3],
      grouped: { odd: [1, 3], even: [2] },
      x: 4,
      made: 1,
      float: 0.1 + 0.2,
      text: 6,
      iso: "1970-01-01T00:00:00.000Z",
      set: [1, 2, 3],
    });
  });

  test("packages of npm, of both kinds", () => {
    expect(start().ask("packages")).toBe("42");
  });

  test("state of its own in every instance, from where the build left it", () => {
    const one = start();
    expect([one.ask("count"), one.ask("count"), start().ask("count")]).toEqual(["1", "2", "1"]);
  });

  test("a console that is the plugin's log", () => {
    start().ask("logs");
    expect(logged).toContain("2 a line 1");
  });

  test("no host, no clock; and nothing is imported but what the manifest names", () => {
    expect(start().ask("surroundings")).toBe(";0;own");
    const imports = WebAssembly.Module.imports(image.module);
    expect(imports.map(({ module, name }) => `${module} ${name}`)).toEqual([
      "imker:l7/host@1.0.0 log",
    ]);
  });
});

describe("what goes wrong", () => {
  test.each([
    ["loop", /fuel: budget of the call used up/],
    ["recursion", /stack|trap/],
    ["memory", /memory|fuel|trap/],
    ["regexp", /fuel: budget of the call used up|trap/],
    ["throws", /trap/],
  ])("%s is a fault of this instance", (what, expected) => {
    const { instance, ask } = start();
    expect(() => ask(what)).toThrow(expected);
    expect(() => ask("count")).toThrow(/Cannot run plugin/);
    expect(instance.memoryBytes).toBeLessThanOrEqual(LIMITS.memoryPagesMax * 65_536);
    expect(start().ask("count")).toBe("1");
  });

  test("the words of what was thrown reach the log, with a stack", () => {
    logged.length = 0;
    expect(() => start().ask("throws")).toThrow(/trap/);
    expect(logged.join("\n")).toMatch(/^3 TypeError: no such luck\n {4}at /);
  });
});

test(
  "what componentize-qjs makes is refused as it is, and so is all of WASI",
  async () => {
    const jsSource = "export const plugin = {};";
    const witPath = join(ROOT, "runtime/contract/l7.wit");
    for (const stubWasi of [false, true]) {
      const { component } = await componentize({ witPath, jsSource, sync: true, stubWasi });
      expect(() => prepareImage(component, { digest: "", manifest: MANIFEST as never })).toThrow(
        PluginImageError,
      );
    }
  },
  BUILD_MS,
);

describe("what does not build", () => {
  test.each([
    ["a module of Node's", 'import { readFileSync } from "node:fs"; readFileSync("x");', /node:fs/],
    ["a package that is not there", 'import x from "no-such-package"; x();', /no-such-package/],
    ["a syntax error", "export function createPlugin( {", /plugin\.ts/],
    ["no createPlugin", "export const x = 1;", /createPlugin/],
    ["what throws at the start", "if (Date.now() > 0) throw new Error('too early');", /too early/],
  ])("%s is named", { timeout: BUILD_MS }, async (_name, text, expected) => {
    const source = text.includes("export") ? text : `${text} export const createPlugin = 1;`;
    const error = await build(source).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(BuildError);
    expect(String(error)).toMatch(expected);
  });
});
