/** What the scripts offer: that of bash runs in bash itself. */
import { execFileSync } from "node:child_process";
import { describe, expect, it, test } from "vitest";
import { createContext } from "../context.ts";
import { createProgram } from "../main.ts";

function scriptOf(shell: string): string {
  const texts: string[] = [];
  const context = createContext({ out: (text) => texts.push(text), err: () => {} });
  createProgram(context).parse(["completion", shell], { from: "user" });
  return texts.join("");
}

const BASH = scriptOf("bash");

/** What bash offers for the last word. */
function offered(...words: string[]): string {
  const asked = words.map((word) => `'${word}'`).join(" ");
  const script = `${BASH}
COMP_WORDS=(imker ${asked}); COMP_CWORD=${words.length}; _imker; printf '%s' "\${COMPREPLY[*]}"`;
  return execFileSync("bash", ["-c", script], { encoding: "utf8" });
}

test.each([
  [["po"], "policy"],
  [["policy", "tr"], "trace"],
  [["bpf", "policy", ""], "list get --help"],
  [["policy", "trace", "--s"], "--src --socket"],
  [["--socket", "/x", "policy", "tr"], "trace"],
  [["--socket", "=", "/x", "policy", "tr"], "trace"],
  [["policy", "--json", "ge"], "get"],
  [["agent", "--enable-policy", ""], "default always never"],
  [["agent", "--enable-policy", "=", "al"], "always"],
  [["endpoint", "config", "test/web", "--so"], "--socket"],
  // An argument that is called as a command is.
  [["endpoint", "get", "policy", "--so"], "--socket"],
  // Nothing: the shell's own completion, of files.
  [["policy", "apply", "-f", ""], ""],
  [["policy", "validate", "d/"], ""],
  [["endpoint", "exec", "test/web", "--", "ls", "-"], ""],
])("bash offers for %j", (words, expected) => {
  expect(offered(...words)).toBe(expected);
});

describe("the scripts of the other shells", () => {
  it("of zsh is that of bash", () => {
    expect(scriptOf("zsh").endsWith(BASH)).toBe(true);
  });

  it("of fish has every command, option and choice at its place", () => {
    const lines = scriptOf("fish").split("\n");
    for (const line of [
      `complete -c imker -n '__imker_at ""' -a policy -d 'network policies'`,
      `complete -c imker -n '__imker_at "policy validate"' -F`,
      `complete -c imker -n '__imker_at "agent"' -l enable-policy -x -a 'default always never' ` +
        `-d 'whether endpoints without a policy are open'`,
    ]) {
      expect(lines).toContain(line);
    }
    const filename = lines.find((line) => /"policy apply".*-l filename/.test(line));
    expect(filename).toContain("-l filename -s f -r -F -d ");
    // Quotes are closed on every line.
    const broken = lines.filter((line) => line.replaceAll("\\'", "").split("'").length % 2 === 0);
    expect(broken).toEqual([]);
  });

  it("refuses others", () => {
    expect(() => scriptOf("ksh")).toThrow(/Allowed choices are bash, zsh, fish/);
  });
});
