import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Case } from "../../runtime/contract/case.ts";
import { CaseFiles } from "./case-files.ts";

const DAY_MS = 86_400_000;
let folder: string;
const clock = { now: 0 };

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "imker-cases-")), "cases");
  clock.now = Date.now();
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true }));

const open = (): CaseFiles => new CaseFiles(folder, () => clock.now);

function someCase(bytes = 4): Case {
  return {
    format: "imker case 1",
    plugin: { name: "acme", version: "1.0.0", digest: `sha256:${"ab".repeat(32)}` },
    stages: [],
    facts: {
      ...{ source: "10.0.0.1", destination: "10.0.0.2", sourcePort: 1, destinationPort: 2 },
      ...{ sourceIdentity: 3, destinationIdentity: 4 },
    },
    steps: [{ direction: "request", bytes: "A".repeat(bytes), end: "open", now: "1" }],
    observed: { records: ["request 0 denied by stage 0"] },
    ...{ exact: true, partial: [] },
  };
}

test("a case is there for its owner only, and after a restart", () => {
  const { id } = open().add(someCase());
  expect(readdirSync(folder)).toEqual([`${id}.json`]);
  expect(statSync(join(folder, `${id}.json`)).mode & 0o777).toBe(0o600);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  const again = open();
  const [one] = again.list();
  expect(one).toMatchObject({ id, cause: "denied", exact: true });
  expect(one && again.read(one)).toEqual(someCase());
});

test("what is no case goes", () => {
  open();
  for (const name of ["0123456789ab.json", "0123456789ab.part", "x"]) {
    writeFileSync(join(folder, name), "{}");
  }
  expect(open().list()).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
});

test("at most 256, the oldest goes", () => {
  const files = open();
  const first = files.add(someCase());
  for (let i = 0; i < 256; i++) files.add(someCase());
  expect(files.list().length).toBe(256);
  expect(files.find(first.id)).toBeUndefined();
  expect(readdirSync(folder).length).toBe(256);
});

test("at most 32 MiB", () => {
  const files = open();
  for (let i = 0; i < 9; i++) files.add(someCase(4 << 20));
  expect(files.list().length).toBe(7);
});

test("at most for a day", () => {
  const files = open();
  files.add(someCase());
  clock.now += DAY_MS + 1;
  expect(files.list()).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
});
