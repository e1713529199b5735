/**
 * The words of SQL that the reader must tell apart, as numbers: kinds of statements (the value of a
 * rule's `statement`), words that announce tables or end their list, and words and functions before
 * a parenthesis that nobody needs a rule for. Lookup is without case and allocates nothing.
 */
import { lower } from "imker/sdk/ascii.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { TextBlock } from "imker/sdk/text-block.ts";

/** A word that means nothing here: a name. */
export const WORD_NAME: i32 = 0;

/** Kinds, in the order of KINDS; what a statement of these does is read. */
export const SELECT: i32 = 1;
export const INSERT: i32 = 2;
export const UPDATE: i32 = 3;
export const DELETE: i32 = 4;
export const MERGE: i32 = 5;
export const COPY: i32 = 6;
export const TRUNCATE: i32 = 7;
export const LOCK: i32 = 8;
export const CREATE: i32 = 9;
/** From here on: statements that touch no table. */
export const PLAIN_FIRST: i32 = 10;
export const BEGIN: i32 = 10;
export const COMMIT: i32 = 11;
export const ROLLBACK: i32 = 12;
/** From here on: statements whose tables are not read. */
export const OPAQUE_FIRST: i32 = 29;
/** From here on: no words of SQL. */
export const KINDS_OF_SQL_END: i32 = 45;
export const FUNCTION: i32 = 45;
export const CANCEL: i32 = 46;
export const CONNECT: i32 = 47;

const KINDS: string =
  "SELECT INSERT UPDATE DELETE MERGE COPY TRUNCATE LOCK CREATE BEGIN COMMIT ROLLBACK SAVEPOINT " +
  "RELEASE SET RESET SHOW DISCARD DEALLOCATE CLOSE FETCH MOVE LISTEN NOTIFY UNLISTEN CHECKPOINT " +
  "LOAD PREPARE ALTER DROP GRANT REVOKE COMMENT VACUUM ANALYZE REINDEX CLUSTER REFRESH DO CALL " +
  "EXECUTE IMPORT SECURITY REASSIGN FUNCTION CANCEL CONNECT";
export const SET: i32 = 15;
export const FETCH: i32 = 21;
export const PREPARE: i32 = 28;
export const ANALYZE: i32 = 35;
export const DO: i32 = 39;

const MARKS_FIRST: i32 = 100;
const MARKS: string =
  "WITH FROM JOIN INTO USING TABLE ONLY LATERAL AS VALUES EXPLAIN DECLARE FOR START END ABORT " +
  "VERBOSE ANALYSE RECURSIVE DISTINCT IS NOT WITHIN MATERIALIZED SEARCH CYCLE STDIN STDOUT TO " +
  "GROUP WHERE HAVING ORDER LIMIT OFFSET WINDOW UNION INTERSECT EXCEPT RETURNING TRANSACTION";
export const WITH: i32 = 100;
export const FROM: i32 = 101;
export const JOIN: i32 = 102;
export const INTO: i32 = 103;
export const USING: i32 = 104;
export const TABLE: i32 = 105;
export const ONLY: i32 = 106;
export const LATERAL: i32 = 107;
export const AS: i32 = 108;
export const VALUES: i32 = 109;
export const EXPLAIN: i32 = 110;
export const DECLARE: i32 = 111;
export const FOR: i32 = 112;
export const START: i32 = 113;
export const END: i32 = 114;
export const ABORT: i32 = 115;
export const VERBOSE: i32 = 116;
export const ANALYSE: i32 = 117;
export const RECURSIVE: i32 = 118;
export const DISTINCT: i32 = 119;
export const IS: i32 = 120;
export const NOT: i32 = 121;
export const WITHIN: i32 = 122;
export const MATERIALIZED: i32 = 123;
export const SEARCH: i32 = 124;
export const CYCLE: i32 = 125;
export const STDIN: i32 = 126;
export const STDOUT: i32 = 127;
export const TO: i32 = 128;
export const GROUP: i32 = 129;
/** GROUP to RETURNING, all reserved words, end a list of tables. */
export const RETURNING: i32 = 139;
export const TRANSACTION: i32 = 140;

/** Functions with FROM between their arguments. */
export const FROM_CALL: i32 = 200;
const FROM_CALLS: string = "EXTRACT SUBSTRING TRIM OVERLAY";

/** Words and types before a parenthesis, and functions that only compute. */
export const QUIET: i32 = 201;
const QUIETS: string =
  "AND OR IN EXISTS ANY ALL SOME ON OVER FILTER BY WHEN THEN ELSE CASE BETWEEN LIKE ILIKE SIMILAR " +
  "CHECK PRIMARY KEY UNIQUE REFERENCES DEFAULT CONFLICT ROLLUP CUBE GROUPING SETS ARRAY ROW " +
  "PARTITION INTERVAL VARCHAR CHAR CHARACTER NUMERIC DECIMAL TIMESTAMP TIMESTAMPTZ TIME BIT " +
  "VARYING FLOAT COUNT SUM AVG MIN MAX COALESCE NULLIF GREATEST LEAST NOW UPPER LOWER LENGTH " +
  "CHAR_LENGTH POSITION CAST BTRIM LTRIM RTRIM ROUND FLOOR CEIL CEILING ABS MOD POWER SQRT " +
  "DATE_TRUNC DATE_PART TO_CHAR TO_DATE TO_TIMESTAMP TO_NUMBER ROW_NUMBER RANK DENSE_RANK LAG " +
  "LEAD FIRST_VALUE LAST_VALUE NTILE ARRAY_AGG STRING_AGG JSON_AGG JSONB_AGG JSON_BUILD_OBJECT " +
  "JSONB_BUILD_OBJECT BOOL_AND BOOL_OR EVERY CONCAT CONCAT_WS REPLACE SPLIT_PART LEFT RIGHT " +
  "LPAD RPAD MD5 RANDOM GENERATE_SERIES UNNEST CURRENT_DATABASE VERSION GEN_RANDOM_UUID";

const HASH_SIZE: i32 = 8191;

export class Words {
  private readonly memory: Memory;
  /** Words by number of entry; `next` chains entries of one hash. */
  private readonly texts: TextBlock[] = [];
  private readonly codes: i32[] = [];
  private readonly next: i32[] = [];
  private readonly heads: i32[] = [];
  private readonly kinds: TextBlock[] = [];

  constructor(memory: Memory) {
    this.memory = memory;
    for (let i = 0; i < HASH_SIZE; i++) this.heads.push(-1);
    this.kinds.push(new TextBlock(memory, "?"));
    const kinds = KINDS.split(" ");
    for (let i = 0; i < kinds.length; i++) {
      const text = new TextBlock(memory, kinds[i] as string);
      this.kinds.push(text);
      if (i + 1 < KINDS_OF_SQL_END) this.add(text, i + 1);
    }
    const marks = MARKS.split(" ");
    for (let i = 0; i < marks.length; i++) {
      this.add(new TextBlock(memory, marks[i] as string), MARKS_FIRST + i);
    }
    this.addAll(FROM_CALLS, FROM_CALL);
    this.addAll(QUIETS, QUIET);
  }

  /** Number of a word, WORD_NAME for one that is not known. */
  code(at: i32, length: i32): i32 {
    let entry = this.heads[this.hash(at, length)] as i32;
    while (entry >= 0) {
      const text = this.texts[entry] as TextBlock;
      if (text.length === length && this.same(at, text.address, length)) {
        return this.codes[entry] as i32;
      }
      entry = this.next[entry] as i32;
    }
    return WORD_NAME;
  }

  /** The text of a kind of statement, in upper case; of 0, a question mark. */
  kind(kind: i32): TextBlock {
    return this.kinds[kind] as TextBlock;
  }

  private addAll(words: string, code: i32): void {
    const list = words.split(" ");
    for (let i = 0; i < list.length; i++) {
      this.add(new TextBlock(this.memory, list[i] as string), code);
    }
  }

  private add(text: TextBlock, code: i32): void {
    const hash = this.hash(text.address, text.length);
    this.next.push(this.heads[hash] as i32);
    this.heads[hash] = this.texts.length;
    this.texts.push(text);
    this.codes.push(code);
  }

  private same(a: i32, b: i32, length: i32): bool {
    for (let i = 0; i < length; i++) {
      if (lower(this.memory.u8(a + i)) !== lower(this.memory.u8(b + i))) return false;
    }
    return true;
  }

  private hash(at: i32, length: i32): i32 {
    let hash = length;
    for (let i = 0; i < length; i++) {
      hash = (hash * 31 + lower(this.memory.u8(at + i))) % HASH_SIZE;
    }
    return hash;
  }
}
