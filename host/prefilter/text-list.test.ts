/** Lists as text, on disk and as people publish them. */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { finish, finishInTurns } from "../piecework.ts";
import type { Lists } from "./generations.ts";
import { emptyLists, ListFile, textOf } from "./list-file.ts";
import { formatDenied, parseDenied } from "./prefix.ts";
import { readingPrefixes } from "./text-list.ts";

const readPrefixes = (text: string): Lists => finish(readingPrefixes(text));
const texts = (lists: Lists): string[] => [...textOf(lists)].join("").split("\n").slice(0, -1);

test.each([
  ["10.1.2.3", "10.1.2.3/32"],
  ["10.1.2.3/8", "10.0.0.0/8"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["255.255.255.255", "255.255.255.255/32"],
  ["2001:DB8::1/32", "2001:db8::/32"],
  ["::/0", "::/0"],
  ["::1", "::1/128"],
  ["::ffff:0:0/80", "::/80"],
])("%s is %s", (text, expected) => {
  expect(formatDenied(parseDenied(text))).toBe(expected);
});

test.each([
  ...[
    "",
    "10.0.0",
    "10.0.0.0/33",
    "10.0.0.0/",
    "::/129",
    "a.b.c.d",
    "10.0.0.0/8 x",
    "fe80::1%eth0",
  ],
  ...["::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "10.0.0.0/-1", "10.0.0.0/1e1", "-"],
])("%j is refused", (text) => {
  expect(() => parseDenied(text)).toThrow(/^Cannot /);
});

describe("a list", () => {
  const text = "# head\n\n1.10.16.0/20 ; SBL256894\r\n2001:db8::/32\n 10.0.0.1 # one\n10.0.0.1/32";

  it("is read with comments, blank lines, duplicates and no last line feed", async () => {
    const expected = ["1.10.16.0/20", "10.0.0.1/32", "2001:db8::/32"];
    expect(texts(readPrefixes(text))).toEqual(expected);
    expect(texts(await finishInTurns(readingPrefixes(text)))).toEqual(expected);
  });

  it("is refused as a whole for one line, which is named", () => {
    expect(() => readPrefixes("10.0.0.0/8\n\nnonsense\n")).toThrow(
      /Cannot read line 3: .*nonsense/,
    );
  });

  it("tells how far it is, and lets others have their turn", async () => {
    const lines = Array.from({ length: 60_000 }, (_, at) => `10.${at >> 8}.${at & 255}.0/24`);
    let isRead = false;
    let turns = 0;
    const heard: number[] = [];
    const others = async (): Promise<void> => {
      for (; !isRead; turns++) await setImmediate();
    };
    const work = readingPrefixes(lines.join("\n"));
    const reading = finishInTurns(work, (line) => heard.push(line)).finally(() => {
      isRead = true;
    });
    await Promise.all([reading, others()]);
    expect(turns).toBeGreaterThan(3);
    expect(heard.slice(0, 2)).toEqual([2_000, 4_000]);
  });
});

describe("a list on disk", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "imker-prefilter-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is what was replaced and then changed, for the next who reads it", async () => {
    const file = new ListFile(folder);
    await file.replace(readPrefixes("10.0.0.0/8\n2001:db8::/32\n"));
    await file.append(["+192.0.2.0/24", "-10.0.0.0/8"]);
    await file.append(["+10.0.0.0/16"]);
    const expected = ["10.0.0.0/16", "192.0.2.0/24", "2001:db8::/32"];
    expect(texts(new ListFile(folder).read())).toEqual(expected);
    const again = new ListFile(folder);
    await again.replace(again.read());
    expect(texts(new ListFile(folder).read())).toEqual(expected);
  });

  it("bears a journal whose last line was cut short, and one that is older than the list", async () => {
    const file = new ListFile(folder);
    await file.append(["+192.0.2.0/24", "-10.0.0.0/8"]);
    appendFileSync(join(folder, "prefilter.journal"), "+203.0.113.");
    expect(texts(new ListFile(folder).read())).toEqual(["192.0.2.0/24"]);
    expect(texts(emptyLists())).toEqual([]);
  });

  it("takes a long journal into the list", async () => {
    const file = new ListFile(folder);
    const lists = emptyLists();
    const lines = Array.from({ length: 10_001 }, (_, at) => `10.${at >> 8}.${at & 255}.0/24`);
    for (const line of lines) lists[4].add(parseDenied(line));
    await file.append(lines.map((line) => `+${line}`));
    await file.compact(lists);
    expect(texts(new ListFile(folder).read())).toHaveLength(lines.length);
  });
});
