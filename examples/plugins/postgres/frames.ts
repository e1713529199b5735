/** What the reader knows inside one pair of parentheses (or of the statement itself). */

/** Where a WITH clause is: not in one, before a name, behind it, behind AS, behind a body. */
export const CTE_NONE: i32 = 0;
export const CTE_NAME: i32 = 1;
export const CTE_NAMED: i32 = 2;
export const CTE_AS: i32 = 3;
export const CTE_BODY_DONE: i32 = 4;

export class Frame {
  /** The character that closes it. */
  close: i32 = 0;
  /** SELECT, INSERT, …: what its statement is; 0: none yet. */
  verb: i32 = 0;
  /** A statement may begin here. */
  start: bool = true;
  /** In a list of tables of this kind; 0: in none. */
  list: i32 = 0;
  /** What the table behind the next INTO is. */
  into: i32 = 0;
  /** The next FROM names what DELETE deletes from. */
  deleteFrom: bool = false;
  usingSeen: bool = false;
  /** Arguments of a function that has FROM between them. */
  fromCall: bool = false;
  /** Calls of functions are reported. */
  calls: bool = true;
  /** Number of the item that INSERT writes to, for ON CONFLICT DO UPDATE; -1: none. */
  insertItem: i32 = -1;
  /** State of its WITH clause, whether that is recursive, and the name it is at. */
  cte: i32 = CTE_NONE;
  recursive: bool = false;
  cteName: i32 = -1;
  /** The body of a name in its parent's WITH clause. */
  body: bool = false;

  reset(close: i32): void {
    this.close = close;
    this.verb = 0;
    this.start = true;
    this.list = 0;
    this.into = 0;
    this.deleteFrom = false;
    this.usingSeen = false;
    this.fromCall = false;
    this.calls = true;
    this.insertItem = -1;
    this.cte = CTE_NONE;
    this.recursive = false;
    this.cteName = -1;
    this.body = false;
  }
}
