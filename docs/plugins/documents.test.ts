/**
 * The author's documents tell the truth: a block marked `run` is executed, one marked `from=FILE`
 * stands in that file word by word, and vectors are run against the example.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nativeRunner } from "imker/testkit";
import { afterAll, describe, expect, test } from "vitest";
import { createPlugin } from "../../examples/plugins/line/plugin.ts";
import { readVectors } from "../../runtime/testkit/vectors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGES = [
  "docs/plugins/tutorial.md",
  "docs/plugins/parts.md",
  "docs/plugins/typescript.md",
  "runtime/sdk/README.md",
];
const SCRATCH = join(ROOT, `.build/documents-${process.pid}`);
const LINE = join(ROOT, "examples/plugins/line");

mkdirSync(SCRATCH, { recursive: true });
afterAll(() => rmSync(SCRATCH, { recursive: true }));

interface Block {
  name: string;
  mark: string;
  text: string;
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(ROOT, page), "utf8");
  const found = text.matchAll(/^```ts (.+)\n([\s\S]*?)^```$/gm);
  return [...found].map(([, mark = "", code = ""], index) => ({
    name: `${page}, block ${index + 1}`,
    mark,
    text: code,
  }));
}

/** A quotation starts at its own margin. */
function withoutIndent(text: string): string {
  return text.replaceAll(/^ +/gm, "");
}

const blocks = PAGES.flatMap(blocksOf);

describe("examples", () => {
  test.each(blocks.filter(({ mark }) => mark === "run"))("$name runs", async ({ name, text }) => {
    const file = join(SCRATCH, `${name.replaceAll(/\W+/g, "-")}.ts`);
    writeFileSync(file, text);
    await import(file);
  });

  test.each(blocks.filter(({ mark }) => mark !== "run"))("$name is quoted", ({ mark, text }) => {
    const file = /^from=(\S+)$/.exec(mark)?.[1] ?? "";
    expect(withoutIndent(readFileSync(join(ROOT, file), "utf8"))).toContain(withoutIndent(text));
  });

  test("there are some of both", () => {
    expect(blocks.filter(({ mark }) => mark === "run").length).toBeGreaterThan(5);
    expect(blocks.filter(({ mark }) => mark !== "run").length).toBeGreaterThan(5);
  });
});

test("the tutorial's vector holds", () => {
  const runner = nativeRunner(LINE, createPlugin);
  const vectors = readVectors(readFileSync(join(ROOT, "docs/plugins/tutorial.md"), "utf8"));
  expect(vectors.length).toBeGreaterThan(0);
  for (const { upstream, client, records, close, ...vector } of vectors) {
    const outcome = runner.run(vector, Number.POSITIVE_INFINITY);
    expect(outcome).toEqual({ upstream, client, records, close });
  }
});
