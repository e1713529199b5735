/**
 * The tree as the tidy rules see it: paths and texts of the project's own files, without what is
 * generated, installed or ignored. Rules are pure functions of this; only `readTree` touches disk.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Scan, scan } from "./scan.ts";

export interface Source {
  /** Relative to the project root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** Comments, strings and code told apart; empty for languages the scanner does not know. */
  readonly scan: Scan;
}

export interface Tree {
  readonly sources: readonly Source[];
  /** Is there a file or folder at this project path? */
  has(path: string): boolean;
}

export interface Finding {
  readonly path: string;
  /** From 1; 0 stands for the whole file. */
  readonly line: number;
  readonly message: string;
}

export type Rule = (tree: Tree) => Finding[];

const IGNORED_FOLDERS = new Set(["node_modules", ".build", ".git", "coverage"]);
const IGNORED_PATHS = new Set(["host/hubble/gen"]);
const TEXT_FILES =
  /(\.(ts|mts|js|mjs|c|h|cc|sh|md|json|wit|proto|ya?ml|svg|html|css)|^Makefile|^imker)$/;
const CODE = /\.(ts|mts|js|mjs|c|h|cc)$/;

export function isTest(path: string): boolean {
  return /\.test\.ts$/.test(path) || /(^|\/)(tests|testing|testdata)\//.test(path);
}

/** Data and generated files: their shape is not ours to choose. */
export function isData(path: string): boolean {
  return /(^|\/)(testdata|vectors|generated|gen)\//.test(path) || /\.gen\.[a-z]+$/.test(path);
}

export function makeSource(path: string, text: string): Source {
  const family = /\.(c|h|cc)$/.test(path) ? "c" : "ts";
  const known = CODE.test(path);
  return {
    path,
    text,
    lines: text.split("\n"),
    scan: known ? scan(text, family) : { code: "", comments: [], strings: [] },
  };
}

/** A tree from texts in memory; every folder of a path exists too. */
export function makeTree(texts: Readonly<Record<string, string>>): Tree {
  const present = new Set<string>();
  for (const path of Object.keys(texts)) {
    const parts = path.split("/");
    for (let n = 1; n <= parts.length; n++) present.add(parts.slice(0, n).join("/"));
  }
  return {
    sources: Object.entries(texts).map(([path, text]) => makeSource(path, text)),
    has: (path) => present.has(path.replace(/\/$/, "")),
  };
}

export function readTree(root: string): Tree {
  const sources: Source[] = [];
  const present = new Set<string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (IGNORED_FOLDERS.has(entry.name) || IGNORED_PATHS.has(path)) continue;
      present.add(path);
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile() && TEXT_FILES.test(entry.name)) {
        sources.push(makeSource(path, readFileSync(join(root, path), "utf8")));
      }
    }
  };
  visit("");
  return { sources, has: (path) => present.has(path.replace(/\/$/, "")) };
}

export function lineAt(source: Source, offset: number): number {
  let line = 1;
  for (let at = source.text.indexOf("\n"); at !== -1 && at < offset; ) {
    line++;
    at = source.text.indexOf("\n", at + 1);
  }
  return line;
}
