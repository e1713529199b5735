/** What SQL is read as: kinds and tables, and what is not read at all. */
import { Memory } from "imker/sdk/memory.ts";
import { describe, expect, test } from "vitest";
import { Items } from "./items.ts";
import { StatementReader } from "./statement-reader.ts";
import { Words } from "./words.ts";

const memory = new Memory();
const words = new Words(memory);
const items = new Items(memory, words);
const reader = new StatementReader(memory, words, items);

/** `KIND table` of each item, `KIND ?` for an unknown table; `unreadable` at the end. */
function read(text: string): string {
  const bytes = memory.textBytes(text);
  const at = memory.allocate(bytes);
  memory.setText(at, text);
  reader.read(at, bytes);
  const found: string[] = [];
  for (let i = 0; i < items.count; i++) {
    const kind = words.kind(items.kind(i));
    const table = items.known(i) ? items.name(i) : "?";
    found.push(`${memory.text(kind.address, kind.length)} ${table}`.trim());
  }
  memory.release(at);
  return [...found, ...(items.unreadable ? ["unreadable"] : [])].join(", ");
}

const CASES: [string, string][] = [
  ["", ""],
  [" ; -- nothing\n;", ""],
  ["select 1", "SELECT"],
  [
    'select * from "Orders", Items i, only (x) join s.t using (a, b) where a = b',
    "SELECT Orders, SELECT items, SELECT x, SELECT s.t",
  ],
  ["select * from a where x in (select y from b, c order by z, w)", "SELECT a, SELECT b, SELECT c"],
  ["select * from a join b on f(x, y), c", "SELECT a, SELECT b, SELECT f(), SELECT c"],
  ["select extract(year from ts), trim(both from x) from a", "SELECT a"],
  ["select extract((select x from b) from c) from a", "SELECT b, SELECT a"],
  ["select a is not distinct from b from c", "SELECT c"],
  ["select distinct from secret", "SELECT secret"],
  ["select 1. from secret", "SELECT secret"],
  ["select 1from secret", "SELECT secret"],
  ["select t.from, t.where from t, u", "SELECT t, SELECT u"],
  ["select * from a join b on a.limit = 1, secret", "SELECT a, SELECT b, SELECT secret"],
  ["select a, b delete from secret", "SELECT secret"],
  ["select * from (a cross join secret) x, (values (1), (2)) v", "SELECT a, SELECT secret"],
  ["select 'a' /* from b /* nested */ */ from c -- from d", "SELECT c"],
  ["select $a$ from b $$ $a$, $1 from c", "SELECT c"],
  ["select e'\\' from b', 'it''s from d' from c", "SELECT c"],
  ["(select * from a) union table secret", "SELECT a, SELECT secret"],
  ["insert into a (x, y) select x, y from b", "INSERT a, SELECT b"],
  ["insert into a values (1) on conflict (x) do update set (y) = (2)", "INSERT a, UPDATE a"],
  ["update only a set (x, y) = (1, 2) from b, c", "UPDATE a, SELECT b, SELECT c"],
  ["delete from a using b, c where true", "DELETE a, SELECT b, SELECT c"],
  ["merge into a using b on true when matched then delete", "MERGE a, SELECT b"],
  ["truncate table a, b restart identity", "TRUNCATE a, TRUNCATE b"],
  ["lock table a, b in share mode", "LOCK a, LOCK b"],
  ["select * into b from a", "CREATE b, SELECT a"],
  ["select x from a for update of a", "SELECT a"],
  ["with w as (select * from a) select * from w, b", "SELECT a, SELECT b"],
  ["with secret as (select * from secret) select * from secret", "SELECT secret"],
  ["select * from s where x in (with s as (select 1) select * from s)", "SELECT s"],
  ["with recursive w as (select 1 union select * from w) delete from w", "DELETE w"],
  ["with w as (delete from a returning *) select * from w", "DELETE a"],
  ["copy a (x) from stdin with (format csv)", "COPY a"],
  ["copy a to '/tmp/x'", "COPY a, COPY ?"],
  ["copy (select * from a) to stdout", "COPY, SELECT a"],
  ["explain (analyze, verbose) delete from a", "DELETE a"],
  ["prepare p (int, text) as update a set x = $1", "UPDATE a"],
  ["declare c cursor with hold for select * from a", "SELECT a"],
  ["create table a as select * from b", "CREATE ?, SELECT b"],
  ["create table a (x numeric(1, 2) default f(1))", "CREATE ?, CREATE ?"],
  [
    "select query_to_xml('x'), count(*), s.f(1), x::varchar(3) from a as t(x)",
    "SELECT query_to_xml(), SELECT s.f(), SELECT a",
  ],
  ["select * from dblink('x') as t(a int), a", "SELECT dblink(), SELECT a"],
  ["start transaction; end; drop table a; set x = 1", "BEGIN, COMMIT, DROP ?, SET"],
  ["do $$ begin delete from a; end $$", "DO ?"],
  ['select * from "a.b", "x""y", käse', "SELECT ?, SELECT ?, SELECT ?"],
  [`select * from ${"a".repeat(64)}`, "SELECT ?"],
  ["select 'a\\' from b", "unreadable"],
  ["select 'x", "unreadable"],
  ["select /* x", "unreadable"],
  ['select * from u&"\\0061"', "unreadable"],
  ["select (1", "unreadable"],
  ["select 1)", "unreadable"],
  ["select (1; select 2)", "unreadable"],
  ["frobnicate a", "unreadable"],
  [`select ${"(".repeat(70)}`, "unreadable"],
  [`select * from ${"a, ".repeat(70)} b`, "many"],
];

describe("SQL", () => {
  test.each(CASES.map(([text, want]) => ({ text, want })))("$text", ({ text, want }) => {
    const seen = read(text);
    if (want === "many") expect(seen.endsWith("unreadable")).toBe(true);
    else expect(seen).toBe(want);
  });
});
