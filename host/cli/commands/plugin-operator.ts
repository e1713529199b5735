/** `imker plugin …` for operators: what is installed, what serves, files in and out. */
import type { Command } from "commander";
import type {
  ActivationView,
  InstanceView,
  LogLineView,
  PluginView,
  VersionView,
} from "../../admin/plugin-schema.ts";
import type { ApiClient } from "../client.ts";
import { type CliContext, wantsJson } from "../context.ts";
import { locally, readLocalFile, writeLocalFile } from "../local-file.ts";
import { parseSeconds, pluginPath } from "./plugin-argument.ts";
import { addRecordCommands } from "./plugin-record.ts";
import {
  activationText,
  instanceTable,
  logText,
  pluginTable,
  versionTable,
  versionText,
} from "./plugin-text.ts";
import { addTrialCommands } from "./plugin-trial.ts";

const WASM = "application/wasm";

/** Adds the operator's commands to `imker plugin`. */
export function addPluginOperatorCommands(plugin: Command, context: CliContext): void {
  addLooks(plugin, context);
  addInstall(plugin, context);
  addActivate(plugin, context);
  addTrialCommands(plugin, context);
  addLogs(plugin, context);
  addRecordCommands(plugin, context);
  addLayout(plugin, context);
  addSign(plugin, context);
}

function addLooks(plugin: Command, context: CliContext): void {
  plugin
    .command("list")
    .description("plugins of this node")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        context.print(command, await client.call<PluginView[]>("GET", "/v1/plugins"), pluginTable);
      });
    });
  plugin
    .command("get")
    .description("a plugin's versions, or one of them")
    .argument("<name>")
    .argument("[version]")
    .action(async (name: string, version: string | undefined, _: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        if (version === undefined) {
          const one = await client.call<PluginView>("GET", pluginPath(name));
          context.print(command, one, versionTable);
        } else {
          const path = pluginPath(name, "versions", version);
          context.print(command, await client.call<VersionView>("GET", path), versionText);
        }
      });
    });
  plugin
    .command("instances")
    .description("sandboxes that run now")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const all = await client.call<InstanceView[]>("GET", "/v1/plugins/instances");
        context.print(command, all, instanceTable);
      });
    });
}

function addInstall(plugin: Command, context: CliContext): void {
  plugin
    .command("install")
    .description("upload a signed package; it serves once it is activated")
    .argument("<file>", "NAME-VERSION.wasm, or - for standard input")
    .option("--grant <list>", "what it may import (default: emit,log,match)")
    .action(async (file: string, options: { grant?: string }, command: Command) => {
      const content = readLocalFile(file);
      await context.withClient(command, async (client) => {
        const view = await upload(client, content, options.grant);
        context.print(command, view, versionText);
      });
    });
  plugin
    .command("remove")
    .description("remove a version that nothing uses")
    .argument("<name>")
    .argument("<version>")
    .action(async (name: string, version: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = pluginPath(name, "versions", version);
        const gone = await client.call<VersionView>("DELETE", path);
        context.print(command, gone, (one) => `${one.name} ${one.version} removed\n`);
      });
    });
}

function upload(client: ApiClient, file: Uint8Array, grant?: string): Promise<VersionView> {
  const query = grant === undefined ? "" : `?${new URLSearchParams({ grant })}`;
  return client.upload<VersionView>(`/v1/plugins${query}`, file, WASM);
}

interface ActivateOptions {
  allowDowngrade?: boolean;
  drain?: number;
  watch?: number;
}

function addActivate(plugin: Command, context: CliContext): void {
  plugin
    .command("activate")
    .description("let a version serve all new connections of policies that name the plugin")
    .argument("<name>")
    .argument("<version>")
    .option("--allow-downgrade", "also when a higher version is active")
    .option(
      "--drain <seconds>",
      "how long the version before may keep its connections",
      parseSeconds,
    )
    .option("--watch <seconds>", "how long faults of the new version roll it back", parseSeconds)
    .action(async (name: string, version: string, options: ActivateOptions, command: Command) => {
      const { allowDowngrade, drain: drainSeconds, watch: watchSeconds } = options;
      await context.withClient(command, async (client) => {
        const body = { version, allowDowngrade, drainSeconds, watchSeconds };
        const path = pluginPath(name, "activation");
        context.print(
          command,
          await client.call<ActivationView>("PUT", path, body),
          activationText,
        );
      });
    });
  plugin
    .command("rollback")
    .description("let the last known good version serve again")
    .argument("<name>")
    .option(
      "--drain <seconds>",
      "how long the version before may keep its connections",
      parseSeconds,
    )
    .action(async (name: string, { drain }: ActivateOptions, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = pluginPath(name, "rollback");
        const view = await client.call<ActivationView>("POST", path, { drainSeconds: drain });
        context.print(command, view, activationText);
      });
    });
}

function addLogs(plugin: Command, context: CliContext): void {
  plugin
    .command("logs")
    .description("what a plugin wrote to its log")
    .argument("<name>")
    .option("-f, --follow", "go on with new lines as they come")
    .option("--last <n>", "the last n lines, at most 1000 (default: 100)")
    .action(
      async (name: string, options: { follow?: boolean; last?: string }, command: Command) => {
        const query = new URLSearchParams();
        if (options.follow) query.set("follow", "true");
        if (options.last !== undefined) query.set("last", options.last);
        await context.withClient(command, async (client) => {
          for await (const line of client.lines(`${pluginPath(name, "logs")}?${query}`)) {
            if (line === "") continue;
            const text = wantsJson(command)
              ? `${line}\n`
              : logText(JSON.parse(line) as LogLineView);
            context.out(text);
          }
        });
      },
    );
}

/** These load what the other commands need not. */
function addLayout(plugin: Command, context: CliContext): void {
  plugin
    .command("export")
    .description("add a version to an OCI image layout")
    .argument("<name>")
    .argument("<version>")
    .argument("<layout>", "a folder, or FILE.tar; made if it is not there")
    .action(async (name: string, version: string, layout: string, _: unknown, command: Command) => {
      const { exportPackage } = await import("../../plugin/oci-layout.ts");
      await context.withClient(command, async (client) => {
        const file = await client.download(pluginPath(name, "versions", version, "package"));
        const what = `Cannot export to ${layout}`;
        const reference = locally(what, () => exportPackage(layout, file));
        context.print(command, { layout, reference }, () => `${layout}:${reference}\n`);
      });
    });
  plugin
    .command("import")
    .description("install every plugin of an OCI image layout")
    .argument("<layout>", "a folder, or FILE.tar")
    .option("--grant <list>", "what they may import (default: emit,log,match)")
    .action(async (layout: string, options: { grant?: string }, command: Command) => {
      const { importPackages } = await import("../../plugin/oci-layout.ts");
      const files = locally(`Cannot import ${layout}`, () => importPackages(layout));
      await context.withClient(command, async (client) => {
        const views: VersionView[] = [];
        for (const file of files) views.push(await upload(client, file, options.grant));
        context.print(command, views, (all) => all.map(versionText).join("\n"));
      });
    });
}

function addSign(plugin: Command, context: CliContext): void {
  plugin
    .command("sign")
    .description("add a signature to a package; needs no agent")
    .argument("<file>", "the package, which is changed unless -o names another file")
    .requiredOption("--key <file>", "private key (imker key generate)")
    .option("-o, --output <file>", "write the signed package here")
    .action(async (file: string, options: { key: string; output?: string }, command: Command) => {
      const { keyIdOf, readPrivateKey, signPackage } = await import("../../plugin/signing.ts");
      const { readPackage } = await import("../../../runtime/contract/package.ts");
      const pem = Buffer.from(readLocalFile(options.key)).toString("utf8");
      const key = locally(`Cannot sign with ${options.key}`, () => readPrivateKey(pem));
      const content = readLocalFile(file);
      const signed = locally(`Cannot sign ${file}`, () => signPackage(content, key));
      const output = options.output ?? file;
      writeLocalFile(output, signed);
      const { digest, manifest } = readPackage(signed);
      const { name, version } = manifest;
      const result = { file: output, name, version, digest, key: keyIdOf(key) };
      context.print(
        command,
        result,
        () => `${output}: ${name} ${version} signed by ${result.key}\n`,
      );
    });
}
