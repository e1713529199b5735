import { describe, expect, test } from "vitest";
import { HubbleError } from "./hubble-error.ts";
import { compileSelectors } from "./label-selector.ts";

const LABELS = [
  "k8s:app=web",
  "k8s:io.kubernetes.pod.namespace=default",
  "k8s:weight=10",
  "reserved:host",
];

describe("compileSelectors()", () => {
  test.each([
    ["", true],
    ["app", true],
    ["!app", false],
    ["! app", false],
    ["tier", false],
    ["!tier", true],
    ["app=web", true],
    ["app==web", true],
    ["app = web", true],
    ["app=db", false],
    ["app!=db", true],
    ["tier!=db", true],
    ["k8s:app=web", true],
    ["any:app=web", true],
    ["container:app=web", false],
    ["reserved:host", true],
    ["reserved:world", false],
    ["k8s:io.kubernetes.pod.namespace=default", true],
    ["app in (web, db)", true],
    ["app in (db)", false],
    ["app notin (db)", true],
    ["tier notin (db)", true],
    ["app in (web,db),!reserved:world, weight>9", true],
    ["weight>10", false],
    ["weight<11", true],
    ["app>1", false],
    ["app=web,tier", false],
  ])("%j is %s", (selector, expected) => {
    const match = compileSelectors("source_label", [selector]);
    expect(match(LABELS)).toBe(expected);
    expect(match(LABELS)).toBe(expected);
  });

  test("any selector of the list is enough", () => {
    expect(compileSelectors("source_label", ["tier", "app"])(LABELS)).toBe(true);
  });

  test.each([
    "app in",
    "app in (",
    "app)",
    "(app)",
    "app,",
    ",app",
    "a=b=c",
    "a b",
    "weight>x",
    "=x",
  ])("%j is refused", (selector) => {
    expect(() => compileSelectors("source_label", [selector])).toThrow(HubbleError);
  });
});
