/** Annotations that say how L7 rules count, and what is said of wrong ones. */
import { expect, test } from "vitest";
import { cnp, lines, parse, port80, resolve } from "../testing/small-world.ts";

const RULES = `ingress: [{${port80("l7proto: redis, l7: [{cmd: GET}]")}}]`;
const MODE = 'metadata.annotations["imker.io/l7-mode"]';

test.each([
  ["{}", "redis [cmd=GET]"],
  ["{imker.io/l7-mode: enforce, imker.io/l7-failure: closed}", "redis [cmd=GET]"],
  ["{imker.io/l7-mode: audit}", "redis audit [cmd=GET]"],
  ["{imker.io/l7-failure: open}", "redis open [cmd=GET]"],
  [
    "{imker.io/l7-mode: observe, imker.io/l7-failure: open, other.io/x: 1}",
    "redis observe/open [cmd=GET]",
  ],
])("%s", (annotations, expected) => {
  expect(lines(resolve([cnp("p", RULES, annotations)]))).toEqual([`0 6:80/16 ${expected}`]);
});

test.each([
  ["{imker.io/l7-mode: audited}", `${MODE}: "audited" is not allowed here; did you mean "audit"?`],
  ["{imker.io/l7-mode: true}", `${MODE}: true is not allowed here`],
  [
    "{imker.io/l7-failure: fail}",
    'metadata.annotations["imker.io/l7-failure"]: "fail" is not allowed here',
  ],
  [
    "{imker.io/l7-mod: audit}",
    'metadata.annotations["imker.io/l7-mod"]: unknown annotation "imker.io/l7-mod"; did you mean "imker.io/l7-mode"?',
  ],
])("refuses %s", (annotations, expected) => {
  const { errors } = parse(cnp("p", RULES, annotations));
  expect(errors.map(({ path, message }) => `${path}: ${message}`)).toEqual([expected]);
});
