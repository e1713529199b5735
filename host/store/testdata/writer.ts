/**
 * Writes to the embedded store until it is killed: `writer.ts FILE [WRITES]`. First a line with the last
 * number it finds, then one with each number when its write is acknowledged.
 */
import { writeSync } from "node:fs";
import { SqliteSharedStore } from "../sqlite-shared.ts";

const STDOUT = 1;
const store = new SqliteSharedStore(process.argv[2] ?? "");
const end = Number(process.argv[3] ?? Number.POSITIVE_INFINITY);
let number = Number((await store.get("last"))?.value ?? 0);
writeSync(STDOUT, `${number}\n`);
while (number < end) {
  number++;
  await store.commit({
    put: [
      { key: "last", value: String(number) },
      { key: `a/${number}`, value: "x".repeat(number % 1_000) },
      { key: `b/${number}`, value: String(number) },
    ],
    delete: [`a/${number - 100}`],
  });
  writeSync(STDOUT, `${number}\n`);
}
