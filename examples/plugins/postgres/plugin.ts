/**
 * The PostgreSQL protocol, version 3. A statement that the policy denies fails as one that the
 * server denies itself; everything else passes. README.md says what rules are and how SQL is read.
 */
import type { Host } from "imker/sdk/host.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { type Call, type Connection, type Facts, Plugin, type RuleSet } from "imker/sdk/plugin.ts";
import type { RuleList } from "imker/sdk/rule-list.ts";
import { loadRuleTable } from "imker/sdk/rule-table.ts";
import { Answers } from "./answers.ts";
import { PostgresConnection } from "./connection.ts";
import { RequestSide } from "./request-side.ts";
import { ResponseSide } from "./response-side.ts";
import { compileRules } from "./rules.ts";

class PostgresPlugin extends Plugin {
  private readonly memory: Memory;
  private readonly host: Host;
  private readonly requests: RequestSide;
  private readonly responses: ResponseSide;

  constructor(memory: Memory, host: Host) {
    super();
    const answers = new Answers(memory);
    this.memory = memory;
    this.host = host;
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
    return new PostgresConnection(this.memory);
  }

  override onRequest(connection: Connection, call: Call): void {
    this.requests.onBytes(connection as PostgresConnection, call);
  }

  override onResponse(connection: Connection, call: Call): void {
    this.responses.onBytes(connection as PostgresConnection, call);
  }

  override close(connection: Connection): void {
    (connection as PostgresConnection).release();
  }
}

/** The plugin of this folder. */
export function createPlugin(memory: Memory, host: Host): Plugin {
  return new PostgresPlugin(memory, host);
}
