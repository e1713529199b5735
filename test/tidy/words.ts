/**
 * Words that must not be committed, each looked for only where it means something: markers in
 * comments, calls in code.
 */
import { type Finding, lineAt, type Source, type Tree } from "./source.ts";

interface Ban {
  readonly pattern: RegExp;
  readonly where: "comments" | "code";
  readonly message: string;
  /** Only these files, or all but these. */
  readonly only?: RegExp;
  readonly except?: RegExp;
}

const BANS: readonly Ban[] = [
  {
    pattern: /\bTODO\b(?!\s*\(#\d+\))/g,
    where: "comments",
    message: "a TODO needs an issue number: TODO(#12)",
  },
  { pattern: /\b(FIXME|XXX)\b/g, where: "comments", message: "fix it, or open an issue" },
  {
    pattern: /@ts-(ignore|nocheck|expect-error)|eslint-disable/g,
    where: "comments",
    message: "the compiler is not switched off: give it the type it asks for",
  },
  {
    pattern: /\.(skip|only|todo|skipIf|runIf)\s*\(/g,
    where: "code",
    only: /\.test\.ts$/,
    message: "a test that does not run proves nothing",
  },
  {
    pattern: /\bexport\s+default\b/g,
    where: "code",
    only: /\.ts$/,
    except: /\.config\.ts$/,
    message: "exports are named",
  },
  {
    pattern: /\bconsole\s*\.\s*\w+\s*\(/g,
    where: "code",
    only: /\.ts$/,
    except: /^(host\/cli|host\/demo|bench|test|deploy)\/|\.test\.ts$|\/testing\//,
    message: "log through the logger that was passed in",
  },
];

function matches(source: Source, ban: Ban): number[] {
  const offsets: number[] = [];
  if (ban.where === "code") {
    for (const match of source.scan.code.matchAll(ban.pattern)) offsets.push(match.index);
    return offsets;
  }
  for (const { start, text } of source.scan.comments) {
    for (const match of text.matchAll(ban.pattern)) offsets.push(start + 2 + match.index);
  }
  return offsets;
}

export function wordsAreFit(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const source of tree.sources) {
    for (const ban of BANS) {
      if (ban.only?.test(source.path) === false || ban.except?.test(source.path)) continue;
      for (const offset of matches(source, ban)) {
        findings.push({
          path: source.path,
          line: lineAt(source, offset),
          message: ban.message,
        });
      }
    }
  }
  return findings;
}
