/**
 * HTTP rules: which keys there are, how they become a rule table, and how a request is asked about.
 * Matching is Cilium's: path (with query), method and host are RE2 full matches of the bytes as
 * they are; header names without case, values exact, repeated fields joined by a comma.
 */
import { equalIgnoringCase } from "../../runtime/sdk/ascii.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import type { RuleList } from "../../runtime/sdk/rule-list.ts";
import { Subjects } from "../../runtime/sdk/rule-table.ts";
import { RuleTableWriter } from "../../runtime/sdk/rule-table-writer.ts";
import { type FieldLine, LINE_FIELD } from "./field-line.ts";

/** Subjects of the rule table. */
export const SUBJECT_METHOD: i32 = 0;
export const SUBJECT_PATH: i32 = 1;
export const SUBJECT_HOST: i32 = 2;

const HEADER_MATCHES: string = "headerMatches.";
const COMMA: i32 = 44;

/** Compiles the rules of one policy, or refuses them. */
export function compileRules(memory: Memory, rules: RuleList): void {
  const writer = new RuleTableWriter(memory);
  for (let rule = 0; rule < rules.count; rule++) {
    writer.rule();
    for (let field = 0; field < rules.fieldCount(rule); field++) {
      const key = rules.key(rule, field);
      const subject = subjectOf(key);
      if (subject >= 0) {
        if (!writer.matches(subject, rules, rule, field)) {
          rules.refuse(rule, key, "the expression has no automaton that can be run");
        }
      } else if (key === "headers") {
        compileHeader(writer, rules, rule, field);
      } else if (key.startsWith(HEADER_MATCHES)) {
        compileHeaderMatch(writer, rules, rule, field);
      } else {
        rules.refuse(rule, key, "not a field of HTTP rules");
      }
    }
  }
  if (!rules.failed()) writer.finish(rules);
}

function subjectOf(key: string): i32 {
  if (key === "path") return SUBJECT_PATH;
  if (key === "method") return SUBJECT_METHOD;
  return key === "host" ? SUBJECT_HOST : -1;
}

/**
 * "Name: value" is exact, "Name" presence. Split at the first space; "K:v" without one is the
 * presence of a header named `K:v`, which never is there.
 */
function compileHeader(writer: RuleTableWriter, rules: RuleList, rule: i32, field: i32): void {
  const text = rules.value(rule, field);
  const space = text.indexOf(" ");
  if (text.length === 0 || space === 0) {
    rules.refuse(rule, "headers", "a header needs a name");
    return;
  }
  if (space < 0) {
    writer.namedPresent(text);
    return;
  }
  let name = text.substring(0, space);
  if (name.endsWith(":")) name = name.substring(0, name.length - 1);
  writer.namedEqual(name, text.substring(space + 1));
}

/** One condition of `headerMatches.N`, made when its name comes by: N.value is looked up there. */
function compileHeaderMatch(writer: RuleTableWriter, rules: RuleList, rule: i32, field: i32): void {
  const key = rules.key(rule, field);
  const dot = key.indexOf(".", HEADER_MATCHES.length);
  const entry = dot < 0 ? key : key.substring(0, dot);
  const part = dot < 0 ? "" : key.substring(dot + 1);
  const name = find(rules, rule, `${entry}.name`);
  if (name < 0) {
    rules.refuse(rule, key, `${entry}.name is missing`);
    return;
  }
  if (part === "value") return;
  if (part === "mismatch") {
    if (rules.value(rule, field) !== "LOG") {
      rules.refuse(rule, key, "only LOG is supported: the plugin does not rewrite headers");
    }
    return;
  }
  if (part !== "name") {
    rules.refuse(rule, key, "not a field of a header match");
    return;
  }
  // With a mismatch action the rule matches whatever the header is.
  if (find(rules, rule, `${entry}.mismatch`) >= 0) return;
  const value = find(rules, rule, `${entry}.value`);
  if (value < 0) writer.namedPresent(rules.value(rule, name));
  else writer.namedEqual(rules.value(rule, name), rules.value(rule, value));
}

function find(rules: RuleList, rule: i32, key: string): i32 {
  for (let field = 0; field < rules.fieldCount(rule); field++) {
    if (rules.key(rule, field) === key) return field;
  }
  return -1;
}

/** One request, as rules ask about it. */
export class RequestSubjects extends Subjects {
  /** Addresses of the field lines: the first, and behind the last. */
  fields: i32 = 0;
  fieldsEnd: i32 = 0;
  private readonly line: FieldLine;

  constructor(memory: Memory, line: FieldLine) {
    super(memory);
    this.line = line;
  }

  /** Walks the field lines, which are known to be well formed. */
  override named(name: i32, nameLength: i32, value: i32, valueLength: i32): bool {
    const memory = this.memory;
    const line = this.line;
    let at = this.fields;
    let found = false;
    let compared = 0;
    while (line.parse(at, this.fieldsEnd) === LINE_FIELD) {
      at = line.next;
      if (line.nameLength !== nameLength) continue;
      if (!equalIgnoringCase(memory, line.name, name, nameLength)) continue;
      if (valueLength < 0) return true;
      if (found) {
        if (compared === valueLength || memory.u8(value + compared) !== COMMA) return false;
        compared++;
      }
      found = true;
      if (line.valueLength > valueLength - compared) return false;
      if (!memory.equal(line.value, value + compared, line.valueLength)) return false;
      compared += line.valueLength;
    }
    return found && compared === valueLength;
  }
}
