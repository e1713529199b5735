/**
 * Reads a text of SQL, statement by statement, for what it does: the first word says how the rest
 * is read (README.md, "How SQL is read"). What it does not know is not readable, and says so.
 */
import type { Memory } from "imker/sdk/memory.ts";
import type { Items } from "./items.ts";
import { Lexer, TOKEN_BAD, TOKEN_END, TOKEN_QUOTED, TOKEN_WORD } from "./lexer.ts";
import { StatementScan } from "./statement-scan.ts";
import {
  ABORT,
  ANALYSE,
  ANALYZE,
  AS,
  BEGIN,
  COMMIT,
  COPY,
  CREATE,
  DECLARE,
  END,
  EXPLAIN,
  FOR,
  KINDS_OF_SQL_END,
  LOCK,
  OPAQUE_FIRST,
  PLAIN_FIRST,
  PREPARE,
  ROLLBACK,
  SELECT,
  START,
  TABLE,
  TRANSACTION,
  TRUNCATE,
  VALUES,
  VERBOSE,
  WITH,
  type Words,
} from "./words.ts";

const PAREN: i32 = 40;
const PAREN_END: i32 = 41;
const SEMICOLON: i32 = 59;
/** EXPLAIN of a PREPARE of … does not exist; one within another is plenty. */
const HEADS_MAX: i32 = 3;

export class StatementReader {
  /** The text leaves something behind that runs later without a text: PREPARE, DECLARE. */
  keeps: bool = false;
  private readonly items: Items;
  private readonly lexer: Lexer;
  private readonly statement: StatementScan;

  constructor(memory: Memory, words: Words, items: Items) {
    this.items = items;
    const lexer = new Lexer(memory, words);
    this.lexer = lexer;
    this.statement = new StatementScan(memory, lexer, items);
  }

  /** Fills the items from the text; `items.unreadable` when some of it could not be read. */
  read(at: i32, length: i32): void {
    const lexer = this.lexer;
    this.keeps = false;
    this.items.reset();
    lexer.reset(at, at + length);
    lexer.next();
    while (!this.items.unreadable) {
      while (lexer.mark === SEMICOLON) lexer.next();
      if (lexer.kind === TOKEN_END) return;
      if (!this.head(0)) this.items.unreadable = true;
    }
  }

  /** A statement, by its first word. */
  private head(nested: i32): bool {
    const lexer = this.lexer;
    if (nested === HEADS_MAX) return false;
    if (lexer.mark === PAREN) return this.statement.scan(0, 0, 0);
    const code = lexer.code;
    if (code === 0) return false;
    if (code === COPY || code === TRUNCATE || code === LOCK) {
      lexer.next();
      return this.statement.scan(code, code, code === COPY ? 0 : code);
    }
    if (code === CREATE) {
      this.items.addUnknown(CREATE);
      return this.statement.scan(CREATE, 0, 0);
    }
    if (code < PLAIN_FIRST || code === WITH || code === VALUES || code === TABLE) {
      return this.statement.scan(0, 0, 0);
    }
    if (code === EXPLAIN) return this.explained(nested);
    if (code === PREPARE) return this.prepared(nested);
    if (code === DECLARE) {
      this.keeps = true;
      return this.behind(FOR) && this.head(nested + 1);
    }
    return this.other(code);
  }

  /** EXPLAIN counts as what it explains. */
  private explained(nested: i32): bool {
    const lexer = this.lexer;
    lexer.next();
    if (lexer.mark === PAREN) {
      lexer.next();
      // EXPLAIN (SELECT …) has no options.
      const code = lexer.code;
      if (lexer.mark === PAREN || code === SELECT || code === WITH) return false;
      if (code === VALUES || code === TABLE) return false;
      while (lexer.mark !== PAREN_END) {
        if (lexer.kind === TOKEN_END || lexer.kind === TOKEN_BAD) return false;
        lexer.next();
      }
      lexer.next();
    } else {
      while (lexer.code === ANALYZE || lexer.code === ANALYSE || lexer.code === VERBOSE) {
        lexer.next();
      }
    }
    return this.head(nested + 1);
  }

  /** PREPARE counts as what it prepares. */
  private prepared(nested: i32): bool {
    this.lexer.next();
    if (this.lexer.code === TRANSACTION) {
      this.items.add(PREPARE, 0, 0);
      return this.rest();
    }
    const kind = this.lexer.kind;
    if (kind !== TOKEN_WORD && kind !== TOKEN_QUOTED) return false;
    this.keeps = true;
    return this.behind(AS) && this.head(nested + 1);
  }

  private other(code: i32): bool {
    if (code === START) this.items.add(BEGIN, 0, 0);
    else if (code === END) this.items.add(COMMIT, 0, 0);
    else if (code === ABORT) this.items.add(ROLLBACK, 0, 0);
    else if (code >= KINDS_OF_SQL_END) return false;
    else if (code < OPAQUE_FIRST) this.items.add(code, 0, 0);
    else this.items.addUnknown(code);
    return this.rest();
  }

  /** Goes to the token behind this word. */
  private behind(code: i32): bool {
    const lexer = this.lexer;
    while (lexer.code !== code) {
      if (lexer.kind === TOKEN_END || lexer.kind === TOKEN_BAD) return false;
      if (lexer.mark === SEMICOLON) return false;
      lexer.next();
    }
    lexer.next();
    return true;
  }

  /** Goes to the end of the statement. */
  private rest(): bool {
    const lexer = this.lexer;
    while (lexer.kind !== TOKEN_END && lexer.mark !== SEMICOLON) {
      if (lexer.kind === TOKEN_BAD) return false;
      lexer.next();
    }
    return true;
  }
}
