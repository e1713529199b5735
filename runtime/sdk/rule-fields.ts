/**
 * Rules whose keys are parts of a message: the usual case, ready made. The keys of the manifest, in
 * an order of the author's choice, are the numbers of `Subjects`; literal fields must be equal,
 * `regex` fields must match wholly, all fields of a rule must, any rule suffices.
 */
import type { Memory } from "./memory.ts";
import type { Stage } from "./plugin.ts";
import { PATTERN_LITERAL, type RuleList } from "./rule-list.ts";
import type { RuleTable, Subjects } from "./rule-table.ts";
import { RuleTableWriter } from "./rule-table-writer.ts";

/** Answers `compile`; `loadRuleTable` loads the result. `keys[n]` is subject n, at most 16. */
export function compileRuleFields(memory: Memory, rules: RuleList, keys: string[]): void {
  const writer = new RuleTableWriter(memory);
  for (let rule = 0; rule < rules.count; rule++) {
    writer.rule();
    for (let field = 0; field < rules.fieldCount(rule); field++) {
      const key = rules.key(rule, field);
      const subject = keys.indexOf(key) as i32;
      if (subject < 0) {
        rules.refuse(rule, key, "no such field");
      } else if (rules.pattern(rule, field) === PATTERN_LITERAL) {
        writer.equal(subject, rules.value(rule, field));
      } else if (!writer.matches(subject, rules, rule, field)) {
        rules.refuse(rule, key, "not an automaton");
      }
    }
  }
  if (!rules.failed()) writer.finish(rules);
}

/** Index of the first stage that denies the message, -1 when all allow it (or there is none). */
export function denyingStage(stages: Stage[], subjects: Subjects): i32 {
  for (let i = 0; i < stages.length; i++) {
    const rules = (stages[i] as Stage).rules as RuleTable;
    if (!rules.matches(subjects)) return i;
  }
  return -1;
}
