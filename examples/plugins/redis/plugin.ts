/**
 * Redis and Valkey: policy by command, key and channel. What each side sends is read in
 * request-side.ts and response-side.ts; README.md says what is enforced and what is refused.
 */
import type { Host } from "imker/sdk/host.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { type Call, type Connection, type Facts, Plugin, type RuleSet } from "imker/sdk/plugin.ts";
import type { RuleList } from "imker/sdk/rule-list.ts";
import { loadRuleTable } from "imker/sdk/rule-table.ts";
import { Answers } from "./answers.ts";
import { RedisConnection } from "./connection.ts";
import { RequestSide } from "./request-side.ts";
import { ResponseSide } from "./response-side.ts";
import { compileRules } from "./rules.ts";

class RedisPlugin extends Plugin {
  private readonly memory: Memory;
  private readonly host: Host;
  private readonly requests: RequestSide;
  private readonly responses: ResponseSide;

  constructor(memory: Memory, host: Host) {
    super();
    this.memory = memory;
    this.host = host;
    const answers = new Answers(memory);
    this.requests = new RequestSide(memory, answers);
    this.responses = new ResponseSide(memory, answers);
  }

  override compile(rules: RuleList): void {
    compileRules(this.memory, rules);
  }

  override load(compiled: i32, length: i32): RuleSet | null {
    return loadRuleTable(this.memory, this.host, compiled, length);
  }

  override open(_facts: Facts): Connection {
    return new RedisConnection();
  }

  override onRequest(connection: Connection, call: Call): void {
    this.requests.read(connection as RedisConnection, call);
  }

  override onResponse(connection: Connection, call: Call): void {
    this.responses.read(connection as RedisConnection, call);
  }
}

/** The plugin of this folder. */
export function createPlugin(memory: Memory, host: Host): Plugin {
  return new RedisPlugin(memory, host);
}
