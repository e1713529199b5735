/** The audit log keeps the newest lines within its bound, over restarts and crashes. */
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { AuditLog } from "./audit-log.ts";
import type { AuditEntry } from "./token-schema.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-audit-"));
  file = join(folder, "audit.log");
});
afterEach(() => rmSync(folder, { recursive: true }));

function entry(status: number): AuditEntry {
  return {
    time: "2026-11-25T12:00:00.000Z",
    who: { kind: "token", name: "ci", address: "192.0.2.7" },
    role: "operator",
    method: "POST",
    path: "/v1/policies",
    status,
  };
}

const statuses = (log: AuditLog, count: number): number[] =>
  log.last(count).map(({ status }) => status);

it("last() gives the newest, oldest first, also after a restart", () => {
  const first = new AuditLog(file);
  for (const status of [200, 201, 403]) first.append(entry(status));
  expect(statuses(first, 2)).toEqual([201, 403]);
  first.close();
  const second = new AuditLog(file);
  second.append(entry(404));
  expect(statuses(second, 10)).toEqual([200, 201, 403, 404]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  second.close();
});

it("a full file is rotated, the oldest goes, and last() reads over the seams", () => {
  const line = JSON.stringify(entry(100)).length + 1;
  const log = new AuditLog(file, line * 3);
  for (let status = 100; status < 150; status++) log.append(entry(status));
  const files = readdirSync(folder).sort();
  expect(files).toEqual(["audit.log", ...[1, 2, 3, 4].map((index) => `audit.log.${index}`)]);
  for (const name of files) expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(line * 3);
  expect(statuses(log, 5)).toEqual([145, 146, 147, 148, 149]);
  expect(statuses(log, 1000)).toHaveLength(14);
  log.close();
});

it("a line that a crash cut off costs nothing but itself", () => {
  new AuditLog(file).append(entry(200));
  appendFileSync(file, '{"time":"2026-');
  const log = new AuditLog(file);
  log.append(entry(201));
  expect(statuses(log, 10)).toEqual([200, 201]);
  log.close();
});

it("says what is wrong when it cannot write, until it can", () => {
  const log = new AuditLog(file, 1);
  log.append(entry(200));
  rmSync(folder, { recursive: true });
  log.append(entry(201));
  expect(log.trouble).toMatch(/^Cannot write .*audit\.log: ENOENT/);
  folder = mkdtempSync(join(tmpdir(), "imker-audit-"));
});
