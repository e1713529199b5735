/**
 * Rules of a policy, each in two forms: who may connect (its user and database alone) and what a
 * message may do (all of it). A user no rule names does not get as far as the server.
 */
import type { Memory } from "imker/sdk/memory.ts";
import { PATTERN_LITERAL, type RuleList } from "imker/sdk/rule-list.ts";
import type { Subjects } from "imker/sdk/rule-table.ts";
import { RuleTableWriter } from "imker/sdk/rule-table-writer.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import { RULE_DATABASE, RULE_KEYS, RULE_USER } from "./keys.ts";

/** Subject behind those of the keys: which of the two is asked. */
const SUBJECT_PHASE: i32 = 4;
const CONNECT_PHASE: string = "connect";
const MESSAGE_PHASE: string = "message";

export function compileRules(memory: Memory, rules: RuleList): void {
  const writer = new RuleTableWriter(memory);
  for (let rule = 0; rule < rules.count; rule++) {
    writer.rule();
    writer.equal(SUBJECT_PHASE, CONNECT_PHASE);
    addFields(writer, rules, rule, true);
    writer.rule();
    writer.equal(SUBJECT_PHASE, MESSAGE_PHASE);
    addFields(writer, rules, rule, false);
  }
  if (!rules.failed()) writer.finish(rules);
}

function addFields(writer: RuleTableWriter, rules: RuleList, rule: i32, connect: bool): void {
  for (let field = 0; field < rules.fieldCount(rule); field++) {
    const key = rules.key(rule, field);
    const subject = RULE_KEYS.indexOf(key) as i32;
    if (subject < 0) rules.refuse(rule, key, "no such field");
    else if (connect && subject !== RULE_USER && subject !== RULE_DATABASE) continue;
    else if (rules.pattern(rule, field) === PATTERN_LITERAL) {
      writer.equal(subject, rules.value(rule, field));
    } else if (!writer.matches(subject, rules, rule, field)) {
      rules.refuse(rule, key, "not an automaton");
    }
  }
}

/** Says to the subjects which form of the rules is asked. */
export class Phases {
  private readonly connecting: TextBlock;
  private readonly sending: TextBlock;

  constructor(memory: Memory) {
    this.connecting = new TextBlock(memory, CONNECT_PHASE);
    this.sending = new TextBlock(memory, MESSAGE_PHASE);
  }

  set(subjects: Subjects, connect: bool): void {
    const text = connect ? this.connecting : this.sending;
    subjects.set(SUBJECT_PHASE, text.address, text.length);
  }
}
