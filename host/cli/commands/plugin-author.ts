/**
 * `imker plugin new|build|test|…`: the author's side. Compilers and kits are
 * loaded by the command that needs them: the other commands must not pay for it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import { type CliContext, wantsJson } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { addPluginEvidenceCommands } from "./plugin-evidence.ts";

/** Root of this installation. */
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Mistakes of the author, by name, so that nothing must be loaded to know them. */
const AUTHOR_ERRORS = new Set([
  "BuildError",
  "PackageError",
  "PluginImageError",
  "CaptureError",
  "CaseError",
]);

/** Adds the author's commands to `imker plugin`. */
export function addPluginAuthorCommands(plugin: Command, context: CliContext): void {
  addNew(plugin, context);
  addBuild(plugin, context);
  addTest(plugin, context);
  addCheck(plugin, context);
  addDev(plugin, context);
  addPluginEvidenceCommands(plugin, context, { root: ROOT, forAuthor });
}

/** Runs `action`; what the author did wrong ends the command with its message. */
async function forAuthor<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof Error && AUTHOR_ERRORS.has(cause.name)) {
      throw new CliError(EXIT.user, cause.message, { cause });
    }
    throw cause;
  }
}

interface NewOptions {
  dir?: string;
  language: "portable" | "typescript";
}

function addNew(plugin: Command, context: CliContext): void {
  plugin
    .command("new")
    .description("start a plugin: a project folder that builds, with vectors and tests")
    .argument("<name>", "what policies will call it: l7proto: NAME")
    .option("--dir <folder>", "where (default: ./NAME)")
    .addOption(
      new Option("--language <language>", "the fast subset, or all of TypeScript, interpreted")
        .choices(["portable", "typescript"])
        .default("portable"),
    )
    .action(async (name: string, options: NewOptions, command: Command) => {
      const folder = resolve(options.dir ?? name);
      const files = await forAuthor(async () => {
        const { createProject } = await import("../../../runtime/build/project.ts");
        return createProject(ROOT, name, folder, options.language);
      });
      context.print(command, { name, folder, files }, () =>
        [
          `${folder}: ${files.join(" ")}`,
          `next: cd ${folder} && imker plugin test`,
          `docs: ${join(ROOT, "docs/plugins")}`,
          "",
        ].join("\n"),
      );
    });
}

function addBuild(plugin: Command, context: CliContext): void {
  plugin
    .command("build")
    .description("build a plugin to its package: one file with component, manifest and vectors")
    .argument("[folder]", "the plugin's project", ".")
    .option("-o, --output <file>", "the package (default: NAME-VERSION.wasm in the project)")
    .action(async (path: string, options: { output?: string }, command: Command) => {
      const folder = resolve(path);
      const result = await forAuthor(async () => {
        const { buildPlugin, refreshKeys } = await import("../../../runtime/build/build.ts");
        const { linkProject } = await import("../../../runtime/build/project.ts");
        const { digestOf } = await import("../../../runtime/contract/package.ts");
        linkProject(ROOT, folder);
        const written = refreshKeys(folder) ? ["keys.ts"] : [];
        const built = await buildPlugin(ROOT, folder);
        const { name, version, capabilities } = built.manifest;
        const file = options.output ?? join(folder, `${name}-${version}.wasm`);
        writeFileSync(file, built.file);
        const digest = digestOf(built.file);
        return { name, version, file, bytes: built.file.length, digest, capabilities, written };
      });
      context.print(command, result, (one) =>
        [
          `${one.name} ${one.version}`,
          `file          ${one.file}`,
          `size          ${one.bytes} bytes`,
          `digest        ${one.digest}`,
          `capabilities  ${one.capabilities.join(", ") || "none"}`,
          ...one.written.map((name) => `written       ${name} from plugin.json`),
          "",
        ].join("\n"),
      );
    });
}

interface TestOptions {
  seed: string;
  mutations: string;
}

function addTest(plugin: Command, context: CliContext): void {
  plugin
    .command("test")
    .description("every vector natively and sandboxed, at every cut and mutated; types; unit tests")
    .argument("[folder]", "the plugin's project", ".")
    .option("--seed <number>", "of the mutations", "1")
    .option("--mutations <number>", "of each vector", "50")
    .action(async (path: string, options: TestOptions, command: Command) => {
      const folder = resolve(path);
      const report = await forAuthor(async () => {
        const { linkProject } = await import("../../../runtime/build/project.ts");
        const { testPlugin } = await import("../../../runtime/testkit/plugin-test.ts");
        linkProject(ROOT, folder);
        const seed = Number(options.seed);
        return testPlugin(ROOT, folder, { seed, mutations: Number(options.mutations) });
      });
      const { testReportText } = await import("../author/test-report.ts");
      context.print(command, report, testReportText);
      if (!report.ok) {
        if (wantsJson(command)) context.err("imker: the plugin fails its tests\n");
        process.exitCode = EXIT.user;
      }
    });
}

interface CheckCommandOptions {
  quick?: boolean;
  seed: string;
  grant: string[];
}

function addCheck(plugin: Command, context: CliContext): void {
  plugin
    .command("check")
    .description("hold a package against the conformance kit; exits 1 when a check fails")
    .argument("<file>", "the package")
    .option("--quick", "20,000 messages in place of 1,000,000")
    .option("--seed <number>", "of everything random", "1")
    .option("--grant <capability...>", "host functions you would grant", ["emit", "log", "match"])
    .action(async (file: string, options: CheckCommandOptions, command: Command) => {
      const kit = await import("../../../runtime/testkit/conformance/index.ts");
      const { checkLineText } = await import("../author/check-report.ts");
      const bytes = readBytes(file);
      const messages = options.quick ? kit.MESSAGES_QUICK : kit.MESSAGES_DEFAULT;
      const { grant: grants, seed } = options;
      const report = await kit.checkPackage(
        bytes,
        { messages, grants, seed: Number(seed), mutations: 50 },
        (line) => {
          if (!wantsJson(command)) context.out(checkLineText(line));
        },
      );
      if (wantsJson(command)) context.out(`${JSON.stringify({ messages, ...report }, null, 2)}\n`);
      if (!report.ok) process.exitCode = EXIT.user;
    });
}

function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(EXIT.user, `Cannot read ${file}: ${reason}`, { cause });
  }
}

function addDev(plugin: Command, context: CliContext): void {
  plugin
    .command("dev")
    .description("build and activate every change in the running agent, until Ctrl-C")
    .argument("[folder]", "the plugin's project", ".")
    .action(async (path: string, _options: unknown, command: Command) => {
      const folder = resolve(path);
      const { readPluginManifest } = await import("../../../runtime/build/build.ts");
      const { linkProject } = await import("../../../runtime/build/project.ts");
      const { DevSession } = await import("../author/dev-session.ts");
      const { name } = await forAuthor(async () => readPluginManifest(folder));
      linkProject(ROOT, folder);
      const say = (value: object, text: string) =>
        context.out(wantsJson(command) ? `${JSON.stringify(value)}\n` : text);
      const session = new DevSession({
        root: ROOT,
        folder,
        name,
        withClient: (action) => context.withClient(command, action),
        listener: {
          reloaded: (one) => {
            const times = `built in ${one.buildMs.toFixed(0)} ms, live in ${one.activateMs.toFixed(0)} ms`;
            const what = `${name} ${one.version}, ${one.bytes} bytes, ${times}`;
            say(one, `✓ ${what} (${one.changed.join(", ")})\n`);
          },
          failed: (message) => say({ error: message }, `✗ ${message}\n`),
        },
      });
      // Before the start: the key must go whenever the session is ended.
      const ended = new Promise((resolve) => {
        process.once("SIGINT", resolve);
        process.once("SIGTERM", resolve);
      });
      await session.start();
      await ended;
      await session.stop();
    });
}
