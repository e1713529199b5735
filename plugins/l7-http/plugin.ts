/**
 * The HTTP/1.1 plugin: brings the parts together and lends every connection its state. README.md
 * says which RFCs it follows, what it refuses, and every limit.
 */
import type { Host } from "../../runtime/sdk/host.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import {
  type Call,
  type Connection,
  type Facts,
  Plugin,
  type RuleSet,
} from "../../runtime/sdk/plugin.ts";
import type { RuleList } from "../../runtime/sdk/rule-list.ts";
import { loadRuleTable } from "../../runtime/sdk/rule-table.ts";
import { Answers } from "./answers.ts";
import { Charset } from "./charset.ts";
import { HttpConnection } from "./connection.ts";
import { Delivery } from "./delivery.ts";
import { FieldLine } from "./field-line.ts";
import { FramingWords } from "./framing.ts";
import { Judge } from "./judge.ts";
import { HeadTools } from "./request-head.ts";
import { RequestSide } from "./request-side.ts";
import { ResponseSide } from "./response-side.ts";
import { compileRules } from "./rules.ts";

/** Connection states kept for reuse. */
const SPARE_CONNECTIONS_MAX: i32 = 256;

class HttpPlugin extends Plugin {
  private readonly memory: Memory;
  private readonly host: Host;
  private readonly tools: HeadTools;
  private readonly judge: Judge;
  private readonly requests: RequestSide;
  private readonly responses: ResponseSide;
  private readonly spare: HttpConnection[] = [];

  constructor(memory: Memory, host: Host) {
    super();
    this.memory = memory;
    this.host = host;
    const charset = new Charset(memory);
    const line = new FieldLine(charset);
    const tools = new HeadTools(charset, new FramingWords(memory), line);
    const judge = new Judge(charset, line);
    const answers = new Answers(memory);
    const delivery = new Delivery(answers);
    this.tools = tools;
    this.judge = judge;
    this.requests = new RequestSide(tools, answers, delivery, judge);
    this.responses = new ResponseSide(delivery);
  }

  override compile(rules: RuleList): void {
    compileRules(this.memory, rules);
  }

  override load(compiled: i32, length: i32): RuleSet | null {
    return loadRuleTable(this.memory, this.host, compiled, length);
  }

  override open(_facts: Facts): Connection {
    if (this.spare.length === 0) return new HttpConnection(this.tools);
    const connection = this.spare.pop() as HttpConnection;
    connection.reset();
    return connection;
  }

  override onRequest(connection: Connection, call: Call): void {
    this.requests.onData(connection as HttpConnection, call);
    this.judge.endCall();
  }

  override onResponse(connection: Connection, call: Call): void {
    this.responses.onData(connection as HttpConnection, call);
  }

  override close(connection: Connection): void {
    const http = connection as HttpConnection;
    if (this.spare.length < SPARE_CONNECTIONS_MAX) this.spare.push(http);
    else http.release();
  }
}

/** The plugin of this folder. */
export function createPlugin(memory: Memory, host: Host): Plugin {
  return new HttpPlugin(memory, host);
}
