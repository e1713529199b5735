/**
 * What stands in for the world that QuickJS expects around it. Nothing here reaches anything: the
 * clocks stand at 1970, the seed is always the same, there is no environment, and what is written
 * to an output is dropped. Everything else that is asked for traps. The stubs are code inside the
 * plugin, so the sandbox that runs it needs to know nothing of WASI and grants nothing.
 */
import type { FunctionType } from "./core-modules.ts";

/** By the import's name without its version; `$n` are its parameters. The last is the result's. */
const BODIES: Record<string, string> = {
  "wasi_snapshot_preview1#reset_adapter_state": "",
  "wasi:random/insecure-seed#insecure-seed":
    "(i64.store (local.get 0) (i64.const 0x696d6b6572)) " +
    "(i64.store offset=8 (local.get 0) (i64.const 0x6c37))",
  "wasi:clocks/monotonic-clock#now": "(i64.const 0)",
  "wasi:clocks/wall-clock#now":
    "(i64.store (local.get 0) (i64.const 0)) (i32.store offset=8 (local.get 0) (i32.const 0))",
  "wasi:cli/environment#get-environment": "(i64.store align=4 (local.get 0) (i64.const 0))",
  "wasi:filesystem/preopens#get-directories": "(i64.store align=4 (local.get 0) (i64.const 0))",
  "wasi:cli/stdin#get-stdin": "(i32.const 0)",
  "wasi:cli/stdout#get-stdout": "(i32.const 1)",
  "wasi:cli/stderr#get-stderr": "(i32.const 2)",
  "wasi:cli/terminal-stdin#get-terminal-stdin": "(i32.store8 (local.get 0) (i32.const 0))",
  "wasi:cli/terminal-stdout#get-terminal-stdout": "(i32.store8 (local.get 0) (i32.const 0))",
  "wasi:cli/terminal-stderr#get-terminal-stderr": "(i32.store8 (local.get 0) (i32.const 0))",
  "wasi:io/streams#[method]output-stream.check-write":
    "(i32.store8 (local.get 1) (i32.const 0)) (i64.store offset=8 (local.get 1) (i64.const 4096))",
  "wasi:io/streams#[method]output-stream.write": "(i32.store8 (local.get 3) (i32.const 0))",
  "wasi:io/streams#[method]output-stream.blocking-flush":
    "(i32.store8 (local.get 1) (i32.const 0))",
  // A capability that the manifest does not name: a log line is lost, the others are mistakes.
  "imker:l7/host#log": "",
};

/** Of an import: what the module of stubs calls it. */
export function stubName(module: string, name: string): string {
  return `${module}#${name}`;
}

/** The text of a module with these stubs, which exports each under its name. */
export function stubsSource(
  stubs: ReadonlyMap<string, FunctionType>,
  memory: { module: string; name: string },
): string {
  const functions = [...stubs].map(([name, { params, results }]) => {
    const signature = `(param ${params.join(" ")}) (result ${results.join(" ")})`;
    return `(func (export ${JSON.stringify(name)}) ${signature} ${bodyOf(name)})`;
  });
  const { module, name } = memory;
  const imported = `(import ${JSON.stringify(module)} ${JSON.stringify(name)} (memory 0))`;
  return `(module ${imported}\n${functions.join("\n")}\n)`;
}

function bodyOf(name: string): string {
  if (name.includes("#[resource-drop]")) return "";
  return BODIES[name.replace(/@[0-9.]+#/, "#")] ?? "unreachable";
}
