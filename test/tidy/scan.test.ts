/**
 * The scanner finds where comments, strings, templates and regular expressions end.
 */
import { expect, test } from "vitest";
import { scan } from "./scan.ts";

/** § stands for a dollar sign: in a plain string the linter takes the real one for a slip. */
const cases = [
  { text: 'a("//x") // y', code: 'a("   ")     ', comments: [" y"], strings: ["//x"] },
  { text: "/* a\nb */ c", code: "    \n     c", comments: [" a\nb "], strings: [] },
  { text: 'a = "\\"" + b', code: 'a = "  " + b', comments: [], strings: ['\\"'] },
  { text: "`a§{b /* c */}d`", code: "    b             ".slice(0, 16), comments: [" c "] },
  { text: "`§{`§{x}`}` + y", code: "      x     + y", comments: [] },
  { text: "`§{{ a: {} }}` + y", code: "   { a: {} }   + y", comments: [] },
  { text: "a / b // c", code: "a / b     ", comments: [" c"] },
  { text: 'x = /["/]/.test(y)', code: "x =       .test(y)", comments: [], strings: [] },
  { text: "return /a/g;", code: "return    g;", comments: [] },
  { text: '"open\nnext', code: '"    \nnext', comments: [], strings: ["open"] },
  { text: "/* open", code: "       ", comments: [" open"] },
  { text: "`open", code: "     ", comments: [] },
  { text: "#!/bin/x\ny", code: "        \ny", comments: ["/bin/x"] },
];

test.each(cases)("scan() of $text", ({ text, code, comments, strings }) => {
  const found = scan(text.replaceAll("§", "$"), "ts");
  expect(found.code).toBe(code);
  expect(found.comments.map((comment) => comment.text)).toEqual(comments);
  if (strings !== undefined) expect(found.strings.map((one) => one.text)).toEqual(strings);
});

test("scan() of C knows no templates and no regular expressions", () => {
  expect(scan("a = b / c; ` /* d */", "c").comments.map(({ text }) => text)).toEqual([" d "]);
});
