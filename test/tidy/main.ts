/**
 * Checks what no compiler or linter does: where imports point, what files are called and how long
 * they are, words that must not be committed, and that documents tell the truth. Prints one finding
 * a line as `file:line: message`; exit 1 if there is any. Run: `node test/tidy/main.ts [ROOT]`.
 */
import { resolve } from "node:path";
import { commandsExist, linksResolve, namedFilesExist } from "./docs.ts";
import { importsPointOneWay } from "./imports.ts";
import {
  filesAreShort,
  filesOpenWithParagraph,
  linesAreNarrow,
  namesSaySomething,
} from "./layout.ts";
import { lockFileIsWhole } from "./lockfile.ts";
import { type Rule, readTree } from "./source.ts";
import { wordsAreFit } from "./words.ts";

const RULES: readonly Rule[] = [
  importsPointOneWay,
  filesAreShort,
  linesAreNarrow,
  filesOpenWithParagraph,
  namesSaySomething,
  wordsAreFit,
  linksResolve,
  namedFilesExist,
  commandsExist,
  lockFileIsWhole,
];

const tree = readTree(resolve(process.argv[2] ?? "."));
const findings = RULES.flatMap((rule) => rule(tree));
findings.sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1));
for (const { path, line, message } of findings) console.log(`${path}:${line}: ${message}`);
if (findings.length > 0) {
  console.log(`${findings.length} findings in ${tree.sources.length} files`);
  process.exitCode = 1;
}
