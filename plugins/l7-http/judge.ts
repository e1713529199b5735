/**
 * Whether a request may pass: the rules of every stage, asked about the path in its one normal
 * spelling. An encoded slash may be a slash to one server and a character to another, so such a
 * path must be allowed in both readings.
 */
import { CallBuffer } from "../../runtime/sdk/call-buffer.ts";
import type { Stage } from "../../runtime/sdk/plugin.ts";
import type { RuleTable } from "../../runtime/sdk/rule-table.ts";
import type { Charset } from "./charset.ts";
import type { FieldLine } from "./field-line.ts";
import { PATH_BAD, PATH_CHANGED, PathNormalizer } from "./path.ts";
import type { RequestHead } from "./request-head.ts";
import { RequestSubjects, SUBJECT_HOST, SUBJECT_METHOD, SUBJECT_PATH } from "./rules.ts";

/** Every stage allows. Otherwise the verdict is the index of the first stage that denies. */
export const ALLOWED: i32 = -1;
/** The path cannot be read. */
export const UNREADABLE: i32 = -2;

const PATHS_BYTES_START: i32 = 2048;

export class Judge {
  /** Address and length of the path to forward instead; length 0: the one that is there. */
  path: i32 = 0;
  pathLength: i32 = 0;
  private readonly subjects: RequestSubjects;
  private readonly normalizer: PathNormalizer;
  private readonly paths: CallBuffer;

  constructor(charset: Charset, line: FieldLine) {
    this.subjects = new RequestSubjects(charset.memory, line);
    this.normalizer = new PathNormalizer(charset);
    this.paths = new CallBuffer(charset.memory, PATHS_BYTES_START);
  }

  /** The call is over: paths to forward are not needed any more once the next one begins. */
  endCall(): void {
    this.paths.end();
  }

  /** ALLOWED, UNREADABLE or the index of the denying stage, for the complete head at `start`. */
  verdict(head: RequestHead, start: i32, stages: Stage[]): i32 {
    this.pathLength = 0;
    if (stages.length === 0) return ALLOWED;
    const subjects = this.subjects;
    const parts = head.parts;
    const path = start + head.target + parts.path;
    subjects.set(SUBJECT_METHOD, start, head.methodLength);
    subjects.set(SUBJECT_HOST, head.host === 0 ? 0 : start + head.host, head.hostLength);
    subjects.set(SUBJECT_PATH, path, parts.pathLength);
    subjects.fields = start + head.fields;
    subjects.fieldsEnd = start + head.length;
    if (!parts.hasPath || (!head.suspect && parts.path === 0)) return this.ask(stages);
    return this.askNormalized(path, parts.pathLength, stages);
  }

  private askNormalized(path: i32, length: i32, stages: Stage[]): i32 {
    const normalizer = this.normalizer;
    const to = this.paths.take(length + 1, 1);
    const result = normalizer.normalize(path, length, to, false);
    if (result === PATH_BAD) return UNREADABLE;
    if (result === PATH_CHANGED) {
      this.path = normalizer.at;
      this.pathLength = normalizer.length;
      this.subjects.set(SUBJECT_PATH, normalizer.at, normalizer.length);
    }
    const verdict = this.ask(stages);
    if (verdict !== ALLOWED || !normalizer.escapedSlash) return verdict;
    normalizer.normalize(path, length, this.paths.take(length + 1, 1), true);
    this.subjects.set(SUBJECT_PATH, normalizer.at, normalizer.length);
    return this.ask(stages);
  }

  private ask(stages: Stage[]): i32 {
    for (let index = 0; index < stages.length; index++) {
      const stage = stages[index] as Stage;
      const rules = stage.rules as RuleTable;
      if (!rules.matches(this.subjects)) return index;
    }
    return ALLOWED;
  }
}
