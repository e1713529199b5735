/**
 * Every tidy rule on a small tree in memory: what it must find, and what looks alike but is fine.
 */
import { describe, expect, test } from "vitest";
import { commandsExist, linksResolve, namedFilesExist } from "./docs.ts";
import { importsPointOneWay } from "./imports.ts";
import {
  filesAreShort,
  filesOpenWithParagraph,
  linesAreNarrow,
  namesSaySomething,
} from "./layout.ts";
import { lockFileIsWhole } from "./lockfile.ts";
import { makeTree, type Rule } from "./source.ts";
import { wordsAreFit } from "./words.ts";

interface Case {
  readonly name: string;
  readonly rule: Rule;
  readonly texts: Readonly<Record<string, string>>;
  /** `path:line` of each expected finding. */
  readonly finds: readonly string[];
}

const manifest = (fields: object): string => JSON.stringify(fields);

const IMPORTS: Case[] = [
  ["plugins/a/x.ts", 'import { b } from "../b/y.ts";', false],
  ["plugins/a/x.ts", 'import { b } from "../wire/hpack.ts";', true],
  ["plugins/a/x.ts", 'import { b } from "./y.ts";', true],
  ["plugins/a/x.ts", 'import { b } from "../../runtime/sdk/index.ts";', true],
  ["plugins/a/x.ts", 'import { b } from "../../runtime/worker/loop.ts";', false],
  ["plugins/a/x.test.ts", 'import { b } from "../../runtime/testkit/run.ts";', true],
  ["plugins/a/x.test.ts", 'import { b } from "../b/y.ts";', false],
  ["plugins/wire/x.ts", 'import { b } from "../a/y.ts";', false],
  ["runtime/worker/x.ts", 'import { b } from "../../host/main.ts";', false],
  ["runtime/worker/x.ts", 'import { b } from "../../plugins/a/y.ts";', false],
  ["runtime/worker/x.test.ts", 'import { b } from "../../plugins/a/y.ts";', true],
  ["runtime/sdk/x.ts", 'import { b } from "../isolate/types.ts";', false],
  ["runtime/contract/x.ts", 'import { z } from "zod";', true],
  ["host/a/x.ts", 'import type { b } from "../../runtime/contract/records.ts";', true],
  ["host/a/x.ts", 'export * from "../../runtime/worker/loop.ts";', false],
  ["host/a/x.ts", 'const m = await import("../../runtime/worker/loop.ts");', false],
  ["host/a/x.ts", 'import "../../runtime/engine/index.ts";', false],
  ["host/a/x.ts", 'import {\n  b,\n} from "../../runtime/proxy/main.ts";', false],
  ["host/a/x.ts", '// import { b } from "../../runtime/worker/loop.ts";', true],
  ["host/a/x.ts", 'const s = `import { b } from "../../runtime/worker/loop.ts"`;', true],
  ["bench/x.ts", 'import { b } from "../runtime/worker/loop.ts";', true],
  ["host/a/x.ts", 'import { b } from "../../bench/main.ts";', false],
  ["bpf/pod.c", '#include "../runtime/engine/relay.h"', false],
  ["bpf/pod.c", '#include "vmlinux.h"', true],
  ["bpf/pod.c", '#include "lib/policy.h"', true],
  ["runtime/engine/x.cc", '#include "abi/abi.h"', true],
  ["runtime/engine/x.cc", '#include "lib/policy.h"', false],
].map(([path, text, fine]) => ({
  name: `${path} may ${fine ? "" : "not "}say ${JSON.stringify(text)}`,
  rule: importsPointOneWay,
  texts: { [String(path)]: String(text) },
  finds: fine ? [] : [`${path}:${/\n/.test(String(text)) ? 3 : 1}`],
}));

const LAYOUT: Case[] = [
  {
    name: "a file of 501 lines",
    rule: filesAreShort,
    texts: { "host/a.ts": "x\n".repeat(501), "host/b.ts": "x\n".repeat(500) },
    finds: ["host/a.ts:0"],
  },
  {
    name: "a line of 101 columns, a tab counting to the next eighth",
    rule: linesAreNarrow,
    texts: {
      "host/a.ts": `ok\n${"x".repeat(101)}`,
      "host/b.ts": "x".repeat(100),
      "host/f.ts": `f("short", ${"x".repeat(100)});`,
      "bpf/a.c": `\t${"x".repeat(93)}`,
      "host/c.ts": `// https://example.org/${"x".repeat(100)}`,
      "host/testdata/d.ts": "x".repeat(300),
      "host/e.ts": `const text = "${"x".repeat(100)}";\n// ${"x".repeat(100)}`,
      "docs/e.md": "x".repeat(300),
    },
    finds: ["host/a.ts:2", "host/f.ts:1", "bpf/a.c:1", "host/e.ts:2"],
  },
  {
    name: "a file without an opening paragraph",
    rule: filesOpenWithParagraph,
    texts: {
      "host/a.ts": "export const a = 1;\n/** This comes too late to be an opening. */",
      "host/b.ts": "/** Short. */\n",
      "host/c.ts": "/** What this file owns, and what not. */\n",
      "host/d.ts": "#!/usr/bin/env node\n// What this file owns,\n// and what not.\n",
      "host/testdata/e.ts": "export const a = 1;\n",
      "host/c.test.ts": "export const a = 1;\n",
      "host/c.root.test.ts": "export const a = 1;\n",
      "host/f.test.ts": "export const a = 1;\n",
    },
    finds: ["host/a.ts:1", "host/b.ts:1", "host/f.test.ts:1"],
  },
  {
    name: "BPF C without licence line",
    rule: filesOpenWithParagraph,
    texts: {
      "bpf/a.c": "/* What this file owns, and what not. */",
      "bpf/b.h": "/* SPDX-License-Identifier: X */\n/* What this file owns, and what not. */",
      "bpf/c.h": "/* SPDX-License-Identifier: X */\n#define A 1",
    },
    finds: ["bpf/a.c:1", "bpf/c.h:1"],
  },
  {
    name: "names that say nothing, and names in camel case",
    rule: namesSaySomething,
    texts: {
      "host/util.ts": "",
      "host/helpers/a.ts": "",
      "host/plugin-manager.ts": "",
      "host/policyMap.ts": "",
      "host/common-name.ts": "",
      "host/policy-map.root.test.ts": "",
    },
    finds: ["host/util.ts:0", "host/helpers/a.ts:0", "host/plugin-manager.ts:0"].concat(
      "host/policyMap.ts:0",
    ),
  },
];

const WORDS: Case[] = [
  ["host/a.ts", "// TODO: later", false],
  ["host/a.ts", "// TODO(#12): later", true],
  ["host/a.ts", 'const s = "TODO";', true],
  ["bpf/a.c", "/* FIXME */", false],
  ["host/a.ts", "// @ts-ignore", false],
  ["host/a.test.ts", 'test.skip("x", () => {});', false],
  ["host/a.test.ts", 'describe.only("x", () => {});', false],
  ["host/a.test.ts", 'test.skipIf(old)("x", () => {});', false],
  ["host/a.ts", "reader.skip(4);", true],
  ["host/a.ts", "export default 1;", false],
  ["host/a.ts", 'const s = "export default 1";', true],
  ["x.config.ts", "export default 1;", true],
  ["host/a.ts", 'console.log("x");', false],
  ["host/cli/a.ts", 'console.log("x");', true],
  ["bench/a.ts", 'console.log("x");', true],
].map(([path, text, fine]) => ({
  name: `${path} may ${fine ? "" : "not "}say ${JSON.stringify(text)}`,
  rule: wordsAreFit,
  texts: { [String(path)]: String(text) },
  finds: fine ? [] : [`${path}:1`],
}));

const DOCS: Case[] = [
  {
    name: "links to files and headings that are not there",
    rule: linksResolve,
    texts: {
      "README.md": [
        "[a](docs/a.md) [b](docs/b.md)",
        "[c](docs/a.md#the-heading) [d](docs/a.md#none)",
        "[e](https://example.org) `[f](nowhere.md)`",
        "```\n[g](nowhere.md)\n```",
        "![h](docs/none.svg)",
        "[i](docs/)",
      ].join("\n"),
      "docs/a.md": "## The heading\n[up](../README.md)",
    },
    finds: ["README.md:1", "README.md:2", "README.md:7"],
  },
  {
    name: "files named in the documents that describe the tree",
    rule: namedFilesExist,
    texts: {
      "ARCHITECTURE.md": "`host/main.ts` and `host/none.ts` and `bpf/`",
      "CHANGELOG.md": "removed `host/none.ts`",
      "host/main.ts": "",
      "bpf/pod.c": "",
    },
    finds: ["ARCHITECTURE.md:1"],
  },
  {
    name: "npm scripts that package.json does not have",
    rule: commandsExist,
    texts: {
      "package.json": manifest({ scripts: { test: "x", demo: "x" } }),
      "README.md": "npm run demo -- --keep\n`npm run dome`\nnpm test\nnpm start\nnpm config get x",
    },
    finds: ["README.md:2", "README.md:4"],
  },
];

const LOCK: Case[] = [
  {
    name: "a range that the lock file does not know",
    rule: lockFileIsWhole,
    texts: {
      "package.json": manifest({ dependencies: { a: "^2.0.0" } }),
      "package-lock.json": manifest({
        packages: { "": { dependencies: { a: "^1.0.0" } }, "node_modules/a": {} },
      }),
    },
    finds: ["package-lock.json:0"],
  },
  {
    name: "a dependency of a dependency that is missing; nested ones are found",
    rule: lockFileIsWhole,
    texts: {
      "package.json": manifest({ devDependencies: { a: "^1.0.0" } }),
      "package-lock.json": manifest({
        packages: {
          "": { devDependencies: { a: "^1.0.0" } },
          "node_modules/a": { dependencies: { b: "1", c: "1", d: "1" } },
          "node_modules/a/node_modules/b": { dependencies: { c: "1" } },
          "node_modules/c": { optionalDependencies: { e: "1" } },
        },
      }),
    },
    finds: ["package-lock.json:0"],
  },
];

for (const [title, cases] of Object.entries({ IMPORTS, LAYOUT, WORDS, DOCS, LOCK })) {
  describe(`tidy ${title.toLowerCase()}`, () => {
    test.each(cases)("$name", ({ rule, texts, finds }) => {
      const found = rule(makeTree(texts)).map(({ path, line }) => `${path}:${line}`);
      expect(found).toEqual(finds);
    });
  });
}
