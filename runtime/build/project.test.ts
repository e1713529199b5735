import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { digestOf } from "../contract/package.ts";
import { testPlugin } from "../testkit/plugin-test.ts";
import { buildPlugin } from "./build.ts";
import { createProject, linkProject } from "./project.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "imker-project-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a new project builds and passes all its tests", { timeout: 120_000 }, async () => {
  const project = join(folder, "one");
  createProject(ROOT, "one", project);
  const report = await testPlugin(ROOT, project, { seed: 1, mutations: 20 });
  expect(report.vectors.findings).toEqual([]);
  expect(report.types).toEqual({ ok: true, output: "" });
  expect(report.unit?.output).toContain("11 passed");
  expect(report.ok).toBe(true);
});

test("a new project in full TypeScript does too", { timeout: 300_000 }, async () => {
  const project = join(folder, "full");
  createProject(ROOT, "full", project, "typescript");
  const report = await testPlugin(ROOT, project, { seed: 1, mutations: 3 });
  expect(report.vectors.findings).toEqual([]);
  expect(report.types).toEqual({ ok: true, output: "" });
  expect(report.unit?.ok).toBe(true);
});

test("the same source gives the same bytes in another folder", { timeout: 60_000 }, async () => {
  const projects = [join(folder, "a"), join(folder, "deep/er/b")];
  const digests: string[] = [];
  for (const project of projects) {
    createProject(ROOT, "same", project);
    digests.push(digestOf((await buildPlugin(ROOT, project)).file));
  }
  expect(digests[0]).toBe(digests[1]);
});

test("what differs between source and sandbox is found, with its cut", {
  timeout: 60_000,
}, async () => {
  const project = join(folder, "overflow");
  createProject(ROOT, "overflow", project);
  const file = join(project, "plugin.ts");
  const source = readFileSync(file, "utf8");
  // Out of the range of i32: wraps in the sandbox and not natively.
  const broken = source.replace(
    "line.nextExchange++;",
    "line.nextExchange++ + ((at - call.start) * 1000000000 > 4294967296 ? 1 : 0);",
  );
  writeFileSync(file, broken);
  const report = await testPlugin(ROOT, project, { seed: 1, mutations: 0 });
  expect(report.ok).toBe(false);
  const [first] = report.vectors.findings;
  expect(first?.vector).toBe("Lines may be sent ahead of their answers");
  expect(first?.way).toBe("native");
  expect(first?.difference.join("\n")).toContain("record 1:");
});

test("a project is never written over, and nothing is linked where there is none", () => {
  const project = join(folder, "one");
  expect(() => createProject(ROOT, "one", project)).toThrow(/is there already/);
  expect(() => createProject(ROOT, "No", join(folder, "no"))).toThrow(/Cannot name a plugin/);
  linkProject(ROOT, folder);
  expect(readdirSync(folder)).not.toContain("node_modules");
  expect(lstatSync(join(project, "node_modules/imker")).isSymbolicLink()).toBe(true);
});
