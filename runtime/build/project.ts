/**
 * A plugin's project folder, anywhere on the machine: made as a copy of an example, and linked
 * to this installation, so that `imker/sdk/…` and `imker/testkit` mean its SDK and its kit to Node,
 * TypeScript and vitest alike. The links are local (`node_modules`), so moving either side only
 * needs them made again, which every `imker plugin` command does.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { manifestSchema } from "../contract/manifest.ts";
import { readPluginManifest } from "./build.ts";
import { BuildError } from "./compile.ts";
import { keysSource } from "./keys.ts";

/** What a project begins as, by the manifest's `language`. */
const EXAMPLES = {
  portable: {
    folder: "examples/plugins/line",
    copied: ["plugin.ts", "plugin.test.ts", "vectors.md"],
  },
  typescript: {
    folder: "examples/plugins/memcached",
    copied: ["plugin.ts", "commands.ts", "replies.ts", "plugin.test.ts", "vectors.md"],
  },
};

/** What a plugin may be written in. */
export type Language = keyof typeof EXAMPLES;

/** Linked unless the project has its own. */
const BORROWED = ["vitest", "typescript", "@types/node"];

/**
 * Makes a project.
 * @param folder must not exist, or be empty.
 * @returns the files made, relative to the folder.
 * @throws BuildError when the name is none or a file is in the way.
 */
export function createProject(
  root: string,
  name: string,
  folder: string,
  language: Language = "portable",
): string[] {
  const from = EXAMPLES[language];
  const example = readPluginManifest(join(root, from.folder));
  const description = `${name}: what it speaks, in a sentence.`;
  const parsed = manifestSchema.safeParse({ ...example, name, description });
  if (!parsed.success) {
    throw new BuildError(
      `Cannot name a plugin "${name}": use lower-case letters, digits, '-' and '.', at most 63`,
    );
  }
  const files: Record<string, string> = {
    "plugin.json": `${JSON.stringify(parsed.data, null, 2)}\n`,
    "keys.ts": keysSource(parsed.data),
    "package.json": `${JSON.stringify(packageJson(name), null, 2)}\n`,
    "tsconfig.json": `${JSON.stringify(TSCONFIG, null, 2)}\n`,
    ".gitignore": "node_modules/\n*.wasm\n",
    "README.md": readme(name),
  };
  for (const file of from.copied) files[file] = readFileSync(join(root, from.folder, file), "utf8");
  const names = Object.keys(files).sort();
  for (const file of names) {
    if (existsSync(join(folder, file))) {
      throw new BuildError(`Cannot make the project in ${folder}: ${file} is there already`);
    }
  }
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  linkProject(root, folder);
  return names;
}

/** Links a project to the installation; one inside the tree needs none. */
export function linkProject(root: string, folder: string): void {
  if (!relative(root, folder).startsWith("..")) return;
  // Not a project: nothing is left behind in a folder that was only a mistake.
  if (!existsSync(join(folder, "plugin.json"))) return;
  link(join(folder, "node_modules/imker"), root, true);
  for (const name of BORROWED) {
    link(join(folder, "node_modules", name), join(root, "node_modules", name), false);
  }
}

/** Points a link at its target; `ours`: also when it points elsewhere now. */
function link(at: string, target: string, ours: boolean): void {
  if (!existsSync(target)) return;
  const current = linkTarget(at);
  if (current === target) return;
  // A link that leads nowhere is of an installation that has gone.
  if (existsSync(at) && !(ours && current !== undefined)) return;
  mkdirSync(dirname(at), { recursive: true });
  rmSync(at, { force: true });
  symlinkSync(target, at, "dir");
}

function linkTarget(at: string): string | undefined {
  try {
    return readlinkSync(at);
  } catch {
    return undefined;
  }
}

function packageJson(name: string): unknown {
  return {
    name,
    version: "0.0.0",
    private: true,
    type: "module",
    scripts: {
      build: "node_modules/imker/imker plugin build",
      test: "node_modules/imker/imker plugin test",
    },
  };
}

const TSCONFIG = {
  extends: "./node_modules/imker/tsconfig.json",
  include: ["*.ts"],
  exclude: ["node_modules"],
};

function readme(name: string): string {
  return `# ${name}

An L7 plugin for Imker.

\`\`\`sh
imker plugin test      # vectors natively and sandboxed, at every cut; types; unit tests
imker plugin build     # ${name}-VERSION.wasm
imker plugin check ${name}-VERSION.wasm
imker plugin dev       # rebuild and reload into the running agent with every change
\`\`\`

\`plugin.json\` says what it is called, what its rules and records are and what a call may cost.
\`plugin.ts\` is the parser, in what \`language\` in plugin.json says. \`vectors.md\` is what both sides send and what must come of it; it
travels in the package. \`keys.ts\` is written from \`plugin.json\`.
`;
}
