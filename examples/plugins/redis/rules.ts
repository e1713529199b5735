/**
 * Rules: which commands, on which keys and channels. A command passes when each of its keys (or
 * channels) passes by some rule of every policy; a command without any needs a rule without them.
 */
import { printable } from "imker/sdk/ascii.ts";
import type { Memory } from "imker/sdk/memory.ts";
import type { Stage } from "imker/sdk/plugin.ts";
import { compileRuleFields, denyingStage } from "imker/sdk/rule-fields.ts";
import type { RuleList } from "imker/sdk/rule-list.ts";
import { Subjects } from "imker/sdk/rule-table.ts";
import type { Command } from "./command.ts";
import type { CommandPlaces } from "./command-places.ts";
import type { CommandReader } from "./command-reader.ts";
import { RULE_CHANNEL, RULE_COMMAND, RULE_KEY, RULE_KEYS, RULE_SUBCOMMAND } from "./keys.ts";

/** Compiles the rules of one policy. Names in lower case would match nothing: they are refused. */
export function compileRules(memory: Memory, rules: RuleList): void {
  for (let rule = 0; rule < rules.count; rule++) {
    for (let field = 0; field < rules.fieldCount(rule); field++) {
      const key = rules.key(rule, field);
      if (key !== "command" && key !== "subcommand") continue;
      if (hasLowerCase(rules.value(rule, field))) {
        rules.refuse(rule, key, "commands are compared in upper case: write GET, not get");
      }
    }
  }
  compileRuleFields(memory, rules, RULE_KEYS);
}

/** Letters behind a backslash or in a group's flags are RE2's, not the command's. */
function hasLowerCase(expression: string): bool {
  if (expression.startsWith("(?i)")) return false;
  for (let i = 0; i < expression.length; i++) {
    const code = expression.charCodeAt(i);
    if (code === 92) i++;
    else if (code >= 97 && code <= 122) return true;
  }
  return false;
}

export class Judge {
  /** Index of the key or channel that was denied, or the first; 0 when it is none to be shown. */
  shown: i32 = 0;
  /** Keys or channels looked at since the plugin last set it to 0. */
  work: i32 = 0;
  private readonly memory: Memory;
  private readonly reader: CommandReader;
  private readonly subjects: Subjects;

  constructor(memory: Memory, reader: CommandReader) {
    this.memory = memory;
    this.reader = reader;
    this.subjects = new Subjects(memory);
  }

  /** Index of the first stage that denies the command, -1 when all allow it. */
  denyingStage(stages: Stage[], command: Command, places: CommandPlaces): i32 {
    const subjects = this.subjects;
    subjects.set(RULE_COMMAND, command.name, command.nameLength);
    const subcommand = command.subcommandLength;
    subjects.set(RULE_SUBCOMMAND, subcommand > 0 ? command.subcommand : 0, subcommand);
    subjects.set(RULE_KEY, 0, 0);
    subjects.set(RULE_CHANNEL, 0, 0);
    const indices = places.indices;
    this.work += indices.length + 1;
    this.shown = 0;
    if (indices.length === 0) return denyingStage(stages, subjects);
    let first = -1;
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as i32;
      const start = this.reader.start(index);
      const length = this.reader.length(index);
      // What is no printable ASCII is matched by no expression, so by no rule that has one.
      const text = printable(this.memory, start, length);
      subjects.set(places.channels ? RULE_CHANNEL : RULE_KEY, text ? start : 0, length);
      if (i === 0 && text) this.shown = index;
      const stage = denyingStage(stages, subjects);
      if (stage < 0 || (first >= 0 && stage >= first)) continue;
      first = stage;
      this.shown = text ? index : 0;
    }
    return first;
  }
}
