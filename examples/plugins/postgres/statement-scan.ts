/**
 * Reads one statement for what it does to which tables: one pass over its tokens, no grammar.
 * Parentheses are frames; each has its verb and may be in a list of tables. What is not sure is
 * taken for a table: that denies too much, never too little.
 */
import type { Memory } from "imker/sdk/memory.ts";
import { CteScope } from "./cte-scope.ts";
import { CTE_AS, CTE_BODY_DONE, CTE_NAME, CTE_NAMED, CTE_NONE, Frame } from "./frames.ts";
import type { Items } from "./items.ts";
import { type Lexer, TOKEN_BAD, TOKEN_END, TOKEN_MARK, TOKEN_QUOTED, TOKEN_WORD } from "./lexer.ts";
import { NameChain } from "./name-chain.ts";
import {
  AS,
  COPY,
  CREATE,
  CYCLE,
  DELETE,
  DISTINCT,
  DO,
  FETCH,
  FOR,
  FROM,
  FROM_CALL,
  GROUP,
  INSERT,
  INTO,
  IS,
  JOIN,
  LATERAL,
  MATERIALIZED,
  MERGE,
  NOT,
  ONLY,
  QUIET,
  RECURSIVE,
  RETURNING,
  SEARCH,
  SELECT,
  SET,
  STDIN,
  STDOUT,
  TABLE,
  TO,
  UPDATE,
  USING,
  VALUES,
  WITH,
  WITHIN,
} from "./words.ts";

const FRAMES_MAX: i32 = 64;
const PAREN: i32 = 40;
const PAREN_END: i32 = 41;
const BRACKET: i32 = 91;
const BRACKET_END: i32 = 93;
const COMMA: i32 = 44;
const DOT: i32 = 46;
const COLON: i32 = 58;
const SEMICOLON: i32 = 59;
const NOTHING: i32 = 0;

export class StatementScan {
  private readonly lexer: Lexer;
  private readonly items: Items;
  private readonly frames: Frame[] = [];
  private readonly scope: CteScope;
  private readonly chain: NameChain;
  private frame: Frame = new Frame();
  private depth: i32 = 0;
  private failed: bool = false;
  /** Kind of the table that must come next; NOTHING: none. */
  private expect: i32 = NOTHING;
  /** A name is being read: kind of the table it is (or NOTHING), and its word if it is one. */
  private naming: bool = false;
  private namedKind: i32 = NOTHING;
  private namedCode: i32 = 0;
  /** The name before this token was a table's. */
  private wasTable: bool = false;
  /** The name is an alias or a type: what follows in parentheses is no call. */
  private namedPlain: bool = false;
  /** COPY's FROM or TO was the token before. */
  private copyEnd: bool = false;
  private lastMark: i32 = 0;
  private lastCode: i32 = 0;
  private codeBefore: i32 = 0;
  private markBefore: i32 = 0;

  constructor(memory: Memory, lexer: Lexer, items: Items) {
    this.lexer = lexer;
    this.items = items;
    this.scope = new CteScope(memory);
    this.chain = new NameChain(memory);
    for (let i = 0; i < FRAMES_MAX; i++) this.frames.push(new Frame());
  }

  /**
   * From the token at hand to the `;` or the end; false: not readable. `verb` and `expect` say what
   * words before it have said (COPY, a table to come), or 0.
   */
  scan(verb: i32, expect: i32, list: i32): bool {
    this.begin(verb, expect, list);
    const first = this.items.count;
    while (!this.failed) {
      const lexer = this.lexer;
      if (lexer.kind === TOKEN_BAD) return false;
      if (this.naming && lexer.mark !== DOT && this.lastMark !== DOT) {
        this.finishName(lexer.mark === PAREN);
      }
      if (lexer.kind === TOKEN_END || lexer.mark === SEMICOLON) break;
      this.token();
      lexer.next();
    }
    if (this.failed || this.depth > 0) return false;
    if (this.items.count === first) {
      if (this.frame.verb > SELECT) this.items.addUnknown(this.frame.verb);
      else this.items.add(SELECT, this.chain.at, 0);
    }
    return true;
  }

  private begin(verb: i32, expect: i32, list: i32): void {
    this.depth = 0;
    this.frame = this.frames[0] as Frame;
    this.frame.reset(0);
    this.frame.verb = verb;
    this.frame.start = verb === NOTHING;
    this.frame.calls = verb === NOTHING;
    this.frame.list = list;
    this.scope.clear();
    this.failed = false;
    this.expect = expect;
    this.naming = false;
    this.wasTable = false;
    this.copyEnd = false;
    this.lastMark = 0;
    this.lastCode = 0;
    this.codeBefore = 0;
    this.markBefore = 0;
  }

  private token(): void {
    const lexer = this.lexer;
    const code = lexer.code;
    if (this.copyEnd) {
      this.copyEnd = false;
      if (code !== STDIN && code !== STDOUT) this.items.addUnknown(COPY);
    }
    const frame = this.frame;
    const start = frame.start;
    frame.start = false;
    if (lexer.kind === TOKEN_WORD || lexer.kind === TOKEN_QUOTED) this.word(code, start);
    else if (lexer.kind === TOKEN_MARK) this.markToken(lexer.mark);
    else this.expect = NOTHING;
    this.codeBefore = this.lastCode;
    this.markBefore = this.lastMark;
    this.lastCode = this.lastMark === DOT ? 0 : code;
    this.lastMark = lexer.mark;
  }

  private word(code: i32, start: bool): void {
    const lexer = this.lexer;
    const quoted = lexer.kind === TOKEN_QUOTED;
    if (this.lastMark === DOT && this.naming) {
      this.chain.append(lexer.start, lexer.length, quoted);
      return;
    }
    const field = this.lastMark === DOT;
    let begins = start;
    if (!field && this.frame.cte !== CTE_NONE) {
      if (this.cteWord(code)) return;
      begins = true;
    }
    if (!field && code !== 0 && this.keyword(code, begins)) return;
    this.chain.start(lexer.start, lexer.length, quoted);
    this.naming = true;
    this.namedCode = field ? 0 : code;
    this.namedPlain =
      this.lastCode === AS || (this.lastMark === COLON && this.markBefore === COLON);
    this.namedKind = this.expect;
    this.expect = NOTHING;
  }

  /** A word in a WITH clause; false when the clause is over. */
  private cteWord(code: i32): bool {
    const frame = this.frame;
    if (frame.cte === CTE_NAME) {
      if (code === RECURSIVE && this.lastCode === WITH) {
        frame.recursive = true;
        return true;
      }
      const lexer = this.lexer;
      this.chain.start(lexer.start, lexer.length, lexer.kind === TOKEN_QUOTED);
      frame.cteName = this.scope.add(this.chain, this.depth);
      if (frame.cteName < 0) this.failed = true;
      frame.cte = CTE_NAMED;
      return true;
    }
    if (frame.cte === CTE_NAMED && code === AS) {
      frame.cte = CTE_AS;
      return true;
    }
    if (frame.cte === CTE_AS && (code === NOT || code === MATERIALIZED)) return true;
    if (frame.cte !== CTE_BODY_DONE || code === SEARCH || code === CYCLE) this.failed = true;
    frame.cte = CTE_NONE;
    return false;
  }

  /** Whether the word means something here; else it is a name. */
  private keyword(code: i32, start: bool): bool {
    const frame = this.frame;
    if (this.expect !== NOTHING) {
      if (code === ONLY || code === LATERAL || code === TABLE) return true;
      if (code !== SELECT && code !== WITH && !(code === VALUES && start)) return false;
      this.expect = NOTHING;
      frame.list = NOTHING;
    }
    if (code === SELECT || (code === VALUES && start)) {
      frame.verb = SELECT;
      frame.deleteFrom = false;
      frame.list = NOTHING;
      frame.calls = true;
      return true;
    }
    if (code === WITH) {
      if (start || frame.verb === INSERT) frame.cte = CTE_NAME;
      return true;
    }
    if (start && code >= INSERT && code <= MERGE) return this.verb(code);
    if (code === UPDATE && this.lastCode === DO && frame.insertItem >= 0) {
      this.items.addAgain(UPDATE, frame.insertItem);
      return true;
    }
    return this.tableWord(code, start);
  }

  private verb(code: i32): bool {
    const frame = this.frame;
    frame.verb = code;
    frame.calls = true;
    if (code === UPDATE) this.expect = UPDATE;
    else if (code === DELETE) frame.deleteFrom = true;
    else frame.into = code;
    return true;
  }

  /** Words before and behind tables. */
  private tableWord(code: i32, start: bool): bool {
    const frame = this.frame;
    if (code === FROM) this.from();
    else if (code === TO && this.copyTop()) this.copyEnd = true;
    else if (code === JOIN) this.expect = SELECT;
    else if (code === INTO) {
      this.expect = frame.into === NOTHING ? CREATE : frame.into;
      frame.into = NOTHING;
    } else if (code === TABLE) {
      if (frame.verb !== CREATE || this.lastCode === AS) this.expect = SELECT;
      if (start) frame.verb = SELECT;
    } else if (code === USING && (frame.verb === DELETE || frame.verb === MERGE)) {
      if (!frame.usingSeen) {
        this.expect = SELECT;
        frame.list = SELECT;
      }
      frame.usingSeen = true;
    } else if (code === AS) {
      frame.start = frame.verb === CREATE;
    } else if ((code >= GROUP && code <= RETURNING) || code === FOR || code === FETCH) {
      if (code === GROUP && this.lastCode === WITHIN) return true;
      frame.list = NOTHING;
      frame.calls = true;
    } else return code === SET && (frame.verb === UPDATE || this.lastCode === UPDATE);
    return true;
  }

  private from(): void {
    const frame = this.frame;
    if (frame.fromCall && frame.verb === NOTHING) return;
    if (this.lastCode === DISTINCT && (this.codeBefore === IS || this.codeBefore === NOT)) return;
    if (this.copyTop()) this.copyEnd = true;
    else if (frame.deleteFrom) {
      frame.deleteFrom = false;
      this.expect = DELETE;
    } else {
      this.expect = SELECT;
      frame.list = SELECT;
    }
  }

  private copyTop(): bool {
    return this.depth === 0 && this.frame.verb === COPY;
  }

  private markToken(mark: i32): void {
    const frame = this.frame;
    if (mark === PAREN || mark === BRACKET) this.open(mark === PAREN ? PAREN_END : BRACKET_END);
    else if (mark === PAREN_END || mark === BRACKET_END) this.close(mark);
    else if (mark === COMMA) {
      this.expect = NOTHING;
      if (frame.cte === CTE_BODY_DONE) frame.cte = CTE_NAME;
      else this.expect = frame.list;
    } else if (mark !== DOT) this.expect = NOTHING;
  }

  private open(close: i32): void {
    const parent = this.frame;
    this.depth++;
    if (this.depth === FRAMES_MAX) {
      this.failed = true;
      return;
    }
    const frame = this.frames[this.depth] as Frame;
    frame.reset(close);
    frame.calls = parent.calls;
    frame.fromCall = this.lastCode === FROM_CALL && this.lastMark === 0 && !this.wasTable;
    if (this.expect === COPY) {
      this.items.add(COPY, this.chain.at, 0);
      frame.calls = true;
      this.expect = NOTHING;
    } else if (this.expect === SELECT) frame.list = SELECT;
    if (parent.cte === CTE_AS) {
      frame.body = true;
      frame.calls = true;
      if (parent.recursive) this.scope.show(parent.cteName);
    } else if (parent.cte === CTE_BODY_DONE) parent.cte = CTE_NONE;
    this.frame = frame;
  }

  private close(mark: i32): void {
    const frame = this.frame;
    if (this.depth === 0 || frame.close !== mark) {
      this.failed = true;
      return;
    }
    this.expect = NOTHING;
    this.depth--;
    this.scope.leave(this.depth);
    this.frame = this.frames[this.depth] as Frame;
    if (!frame.body) return;
    this.scope.show(this.frame.cteName);
    this.frame.cte = CTE_BODY_DONE;
  }

  /** The name is complete: a table, a function that is called, or nothing of interest. */
  private finishName(opens: bool): void {
    const kind = this.namedKind;
    const chain = this.chain;
    this.naming = false;
    this.wasTable = kind !== NOTHING;
    if (opens && (kind === NOTHING || kind === SELECT)) {
      if (this.frame.calls && this.isCall()) {
        chain.call();
        this.report(SELECT);
      }
      return;
    }
    if (kind === NOTHING) return;
    if (kind === SELECT && this.scope.has(chain)) return;
    if (kind === INSERT) this.frame.insertItem = this.items.count;
    this.report(kind);
  }

  /** Types behind `::`, aliases behind AS and words that only compute are no calls. */
  private isCall(): bool {
    if (this.namedPlain) return false;
    if (this.chain.parts > 1) return true;
    const code = this.namedCode;
    if (code === VALUES || code === USING || code === NOT || code === DISTINCT) return false;
    return code !== QUIET && code !== FROM_CALL;
  }

  private report(kind: i32): void {
    if (this.chain.bad) this.items.addUnknown(kind);
    else this.items.add(kind, this.chain.at, this.chain.length);
  }
}
