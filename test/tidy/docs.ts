/**
 * Documents tell the truth about the tree: links and file names in them exist, and so do the npm
 * scripts they tell people to run.
 */
import { posix } from "node:path";
import type { Finding, Source, Tree } from "./source.ts";

/** Scripts npm has without package.json. */
const NPM_COMMANDS = new Set(["ci", "install", "i", "config", "run"]);

/** Folders whose paths, when written in backticks, must exist. */
const OWN_PATH = /^(bpf|runtime|plugins|host|ui|bench|test|deploy|examples|docs|\.ci)\/[\w./-]*$/;

interface Line {
  readonly number: number;
  readonly text: string;
  readonly fenced: boolean;
}

function linesOf(source: Source): Line[] {
  let fenced = false;
  return source.lines.map((text, index) => {
    const fence = /^\s*(```|~~~)/.test(text);
    if (fence) fenced = !fenced;
    return { number: index + 1, text, fenced: fenced || fence };
  });
}

const isDocument = (source: Source): boolean => source.path.endsWith(".md");

/** The text of a heading as GitHub makes an anchor of it. */
function anchorOf(heading: string): string {
  const plain = heading.replace(/[`*]/g, "").trim().toLowerCase();
  return plain.replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
}

function hasAnchor(tree: Tree, path: string, anchor: string): boolean {
  const target = tree.sources.find((source) => source.path === path);
  if (target === undefined) return false;
  return linesOf(target).some(
    ({ text, fenced }) =>
      !fenced && /^#+ /.test(text) && anchorOf(text.replace(/^#+ /, "")) === anchor,
  );
}

function linkProblem(tree: Tree, from: string, link: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/.test(link)) return undefined;
  const [file = "", anchor] = link.split("#");
  const path = file === "" ? from : posix.join(posix.dirname(from), decodeURI(file));
  if (path !== "." && !tree.has(path)) return `link to ${link}: there is no ${path}`;
  if (anchor !== undefined && path.endsWith(".md") && !hasAnchor(tree, path, anchor)) {
    return `link to ${link}: ${path} has no such heading`;
  }
  return undefined;
}

export function linksResolve(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const source of tree.sources.filter(isDocument)) {
    for (const { number, text, fenced } of linesOf(source)) {
      if (fenced) continue;
      for (const match of text.replace(/`[^`]*`/g, "").matchAll(/\]\(<?([^)\s>]+)/g)) {
        const message = linkProblem(tree, source.path, match[1] ?? "");
        if (message !== undefined) findings.push({ path: source.path, line: number, message });
      }
    }
  }
  return findings;
}

/** Documents that describe the tree as it is; plans and the past may name what is not there. */
const DESCRIBES_TREE = /^(README|ARCHITECTURE|CONTRIBUTING)\.md$/;

export function namedFilesExist(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const source of tree.sources.filter(({ path }) => DESCRIBES_TREE.test(path))) {
    for (const { number, text } of linesOf(source)) {
      for (const match of text.matchAll(/`([^`]+)`/g)) {
        const named = match[1] ?? "";
        if (!OWN_PATH.test(named) || tree.has(named)) continue;
        findings.push({ path: source.path, line: number, message: `there is no ${named}` });
      }
    }
  }
  return findings;
}

function scriptsOf(tree: Tree): Set<string> {
  const manifest = tree.sources.find(({ path }) => path === "package.json");
  const parsed: unknown = JSON.parse(manifest?.text ?? "{}");
  const scripts =
    typeof parsed === "object" && parsed !== null && "scripts" in parsed ? parsed.scripts : {};
  return new Set(Object.keys(scripts ?? {}));
}

export function commandsExist(tree: Tree): Finding[] {
  const scripts = scriptsOf(tree);
  const findings: Finding[] = [];
  for (const source of tree.sources.filter(isDocument)) {
    for (const { number, text } of linesOf(source)) {
      for (const match of text.matchAll(/\bnpm (?:run (?:-\S+ )*)?([a-z][\w:-]*)/g)) {
        const name = match[1] ?? "";
        const runs = /^npm run/.test(match[0]) || /^(test|start)$/.test(name);
        if (!runs || scripts.has(name) || NPM_COMMANDS.has(name)) continue;
        const message = `package.json has no script "${name}"`;
        findings.push({ path: source.path, line: number, message });
      }
    }
  }
  return findings;
}
