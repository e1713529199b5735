/**
 * How a file looks from outside: its name, its length, the width of its lines, and the paragraph it
 * opens with.
 */
import { type Finding, isData, lineAt, type Source, type Tree } from "./source.ts";

const LINES_MAX = 500;
const COLUMNS_MAX = 100;
const TAB_COLUMNS = 8;
const TEXT_CHARACTERS_MIN = 24;
const OPENING_WORDS_MIN = 4;

const CODE = /\.(ts|c|h|cc)$/;
const WIDTH_CHECKED = /(\.(ts|c|h|cc|sh|wit)|(^|\/)imker)$/;
const KEBAB_CASE = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*\.ts$/;

/** Names that say nothing about what is inside. */
const EMPTY_NAME = /^(.*-)?(utils?|commons?|helpers?|misc|managers?)$/;

export function filesAreShort(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const { path, text } of tree.sources) {
    if (!WIDTH_CHECKED.test(path) || isData(path)) continue;
    const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
    if (lines > LINES_MAX) {
      findings.push({ path, line: 0, message: `${lines} lines, at most ${LINES_MAX}: split it` });
    }
  }
  return findings;
}

function columnsOf(line: string): number {
  let columns = 0;
  for (const c of line) columns += c === "\t" ? TAB_COLUMNS - (columns % TAB_COLUMNS) : 1;
  return columns;
}

/**
 * Lines that are mostly a text: a message is not broken, so that it can be searched for, nor is the
 * expectation of a test. The formatter leaves them alone as well.
 */
function textLinesOf(source: Source): Set<number> {
  const characters = new Map<number, number>();
  for (const { start, text } of source.scan.strings) {
    const first = lineAt(source, start);
    text.split("\n").forEach((part, index) => {
      const line = first + index;
      characters.set(line, (characters.get(line) ?? 0) + part.length);
    });
  }
  const lines = [...characters].filter(([, count]) => count >= TEXT_CHARACTERS_MIN);
  return new Set(lines.map(([line]) => line));
}

export function linesAreNarrow(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const source of tree.sources) {
    const { path, lines } = source;
    if (!WIDTH_CHECKED.test(path) || isData(path)) continue;
    const textLines = textLinesOf(source);
    lines.forEach((line, index) => {
      const columns = columnsOf(line);
      // A link cannot be broken.
      if (columns <= COLUMNS_MAX || /https?:\/\/\S{60}/.test(line)) return;
      if (textLines.has(index + 1)) return;
      findings.push({
        path,
        line: index + 1,
        message: `${columns} columns, at most ${COLUMNS_MAX}`,
      });
    });
  }
  return findings;
}

/** The comment a file begins with: one block, or the line comments that follow each other. */
function openingComment(source: Source): string {
  const first = source.scan.comments.find(({ text }) => !/SPDX-License-Identifier/.test(text));
  if (first === undefined) return "";
  const before = source.scan.code.slice(0, first.start);
  if (before.trim() !== "") return "";
  let words = first.text;
  let end = first.start + first.text.length + 2;
  for (const next of source.scan.comments) {
    if (next.start <= first.start) continue;
    if (source.text.slice(end, next.start).trim() !== "") break;
    words += ` ${next.text}`;
    end = next.start + next.text.length + 2;
  }
  return words.replace(/[*!]/g, " ");
}

/** What `x.test.ts` is about, `x.ts` beside it says. */
function isTestBesideSource(tree: Tree, path: string): boolean {
  const tested = path.replace(/(\.root)?\.test\.ts$/, ".ts");
  return tested !== path && tree.has(tested);
}

export function filesOpenWithParagraph(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const source of tree.sources) {
    const { path } = source;
    if (!CODE.test(path) || isData(path) || isTestBesideSource(tree, path)) continue;
    if (path.startsWith("bpf/") && !/SPDX-License-Identifier:/.test(source.lines[0] ?? "")) {
      findings.push({ path, line: 1, message: "the first line must be the SPDX licence line" });
    }
    const words = openingComment(source).split(/\s+/).filter(Boolean).length;
    if (words < OPENING_WORDS_MIN) {
      const message = "must open with a comment that says what the file owns";
      findings.push({ path, line: 1, message });
    }
  }
  return findings;
}

export function namesSaySomething(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const { path } of tree.sources) {
    const parts = path.split("/");
    const file = parts.at(-1) ?? "";
    if (!CODE.test(path)) continue;
    for (const part of parts) {
      const stem = part.split(".")[0] ?? "";
      if (!EMPTY_NAME.test(stem)) continue;
      findings.push({ path, line: 0, message: `the name "${stem}" says nothing: name the thing` });
    }
    if (file.endsWith(".ts") && !KEBAB_CASE.test(file)) {
      findings.push({ path, line: 0, message: "TypeScript files are named in kebab-case" });
    }
  }
  return findings;
}
