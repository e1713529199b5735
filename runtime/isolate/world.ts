/**
 * World `imker:l7/l7-plugin@1.0.0` of runtime/contract/l7.wit, spelt as component-types.ts spells
 * the types it reads, and as the core signatures the canonical ABI flattens them to. A test builds
 * a component from the WIT itself and so notices when the two part.
 */

export const HOST_INTERFACE = "imker:l7/host@1.0.0";
export const TYPES_INTERFACE = "imker:l7/types@1.0.0";
export const PLUGIN_INTERFACE = "imker:l7/plugin@1.0.0";

const bytes = "list<u8>";
const direction = "enum{request,response}";
const end = "enum{open,closed,failed}";
const closeReason = "enum{finished,denied,malformed}";
const injection = `record{direction:${direction},bytes:${bytes}}`;
const operation = `variant{more(u64),pass(u64),drop(u64),pass-rest,inject(${injection}),close(${closeReason})}`;
const stage = "record{point:enum{egress,ingress},rule-set:u32}";
const facts = [
  "record{source-identity:u32,destination-identity:u32",
  `source-address:${bytes},destination-address:${bytes}`,
  `source-port:u16,destination-port:u16,stages:list<${stage}>}`,
].join(",");
const pattern = `variant{literal,automaton(${bytes}),handle(u32)}`;
const rule = `list<record{key:string,value:string,pattern:${pattern}}>`;
const ruleError = "record{rule:u32,key:string,message:string}";
const fieldValue = `variant{span(record{offset:u32,length:u32}),number(u64),bytes(${bytes})}`;
const l7Record = [
  "record{kind:enum{request,response},verdict:enum{forwarded,denied,error},stage:u8",
  `exchange:u32,fields:list<record{key:u16,value:${fieldValue}}>}`,
].join(",");

/** A function of the world: its component type and its flattened core type. */
export interface WorldFunction {
  type: string;
  core: string;
  /** Its result lies in memory, so a `post-return` may have something to free. */
  memoryResult: boolean;
}

function entry(type: string, core: string, memoryResult = false): WorldFunction {
  return { type, core, memoryResult };
}

export const HOST_FUNCTIONS: ReadonlyMap<string, WorldFunction> = new Map([
  ["emit", entry(`func(connection:u32,record:${l7Record})`, "(i32 i32 i32 i32 i32 i32 i32)->()")],
  ["log", entry("func(level:enum{debug,info,warn,error},message:string)", "(i32 i32 i32)->()")],
  ["match", entry(`func(handle:u32,bytes:${bytes})->bool`, "(i32 i32 i32)->(i32)")],
]);

const onDataParameters = `connection:u32,direction:${direction},data:${bytes},end:${end},now:u64`;

export const PLUGIN_FUNCTIONS: ReadonlyMap<string, WorldFunction> = new Map([
  [
    "compile",
    entry(`func(rules:list<${rule}>)->result<${bytes},${ruleError}>`, "(i32 i32)->(i32)", true),
  ],
  ["load", entry(`func(compiled:${bytes})->result<u32,string>`, "(i32 i32)->(i32)", true)],
  ["unload", entry("func(rule-set:u32)", "(i32)->()")],
  ["open", entry(`func(facts:${facts})->u32`, "(i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)->(i32)")],
  ["set-stages", entry(`func(connection:u32,stages:list<${stage}>)`, "(i32 i32 i32)->()")],
  [
    "on-data",
    entry(
      `func(${onDataParameters})->list<${operation}>`,
      "(i32 i32 i32 i32 i32 i64)->(i32)",
      true,
    ),
  ],
  ["close", entry("func(connection:u32)", "(i32)->()")],
]);
