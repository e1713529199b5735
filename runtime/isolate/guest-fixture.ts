/**
 * For tests: plugin components from a few lines of WebAssembly text. A guest gets memory, a bump
 * allocator that starts over with each `data`, and an empty body for every function of the world
 * that the text does not give; jco embeds l7.wit and wraps it up as the real build does.
 */
import { readFileSync } from "node:fs";
import { componentEmbed, componentNew, parse } from "@bytecodealliance/jco";
import type { Manifest } from "../contract/manifest.ts";

const WIT = new URL("../contract/l7.wit", import.meta.url);

/** Parts of a guest; a function's text is its locals and instructions. */
export interface GuestText {
  /** Module fields: globals, functions, data, tables. */
  fields?: string;
  memory?: string;
  imports?: readonly ("emit" | "log" | "match")[];
  realloc?: string;
  compile?: string;
  load?: string;
  unload?: string;
  open?: string;
  setStages?: string;
  onData?: string;
  close?: string;
  postOnData?: string;
}

const IMPORTS = {
  emit: "(param i32 i32 i32 i32 i32 i32 i32)",
  log: "(param i32 i32 i32)",
  match: "(param i32 i32 i32) (result i32)",
};

/** Rounds the bump pointer up to $align, moves it by $size, grows memory when needed. */
const BUMP = `(local $at i32)
  (local.set $at (i32.and
    (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
    (i32.sub (i32.const 0) (local.get $align))))
  (global.set $heap (i32.add (local.get $at) (local.get $size)))
  (block $fits
    (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
    (br_if $fits (i32.ne (i32.const -1) (memory.grow
      (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))))
    unreachable)
  (local.get $at)`;

/** An empty `list<operation>`, `result` ok with nothing, or handle 1. */
const EMPTY =
  "(i32.store (i32.const 16) (i32.const 0)) (i64.store (i32.const 20) (i64.const 0)) (i32.const 16)";

export function guestText(text: GuestText): string {
  const imports = (text.imports ?? [])
    .map((name) => `(import "imker:l7/host@1.0.0" "${name}" (func $${name} ${IMPORTS[name]}))`)
    .join("\n");
  const start = text.postOnData === undefined ? "(global.set $heap (i32.const 4096))" : "";
  return `(module ${imports}
    (memory (export "memory") ${text.memory ?? "1"})
    (global $heap (mut i32) (i32.const 4096))
    ${text.fields ?? ""}
    (func $realloc (export "cabi_realloc")
      (param $old i32) (param $oldSize i32) (param $align i32) (param $size i32) (result i32)
      ${text.realloc ?? BUMP})
    (func (export "imker:l7/plugin@1.0.0#compile") (param $rules i32) (param $count i32) (result i32)
      ${text.compile ?? EMPTY})
    (func (export "imker:l7/plugin@1.0.0#load") (param $bytes i32) (param $length i32) (result i32)
      ${text.load ?? EMPTY})
    (func (export "imker:l7/plugin@1.0.0#unload") (param $set i32) ${text.unload ?? ""})
    (func (export "imker:l7/plugin@1.0.0#open") (param $sourceIdentity i32)
      (param $destinationIdentity i32) (param $source i32) (param $sourceLength i32)
      (param $destination i32) (param $destinationLength i32) (param $sourcePort i32)
      (param $destinationPort i32) (param $stages i32) (param $stageCount i32) (result i32)
      ${text.open ?? "(i32.const 1)"})
    (func (export "imker:l7/plugin@1.0.0#set-stages")
      (param $connection i32) (param $stages i32) (param $count i32) ${text.setStages ?? ""})
    (func (export "imker:l7/plugin@1.0.0#on-data") (param $connection i32) (param $direction i32)
      (param $data i32) (param $length i32) (param $end i32) (param $now i64) (result i32)
      ${text.onData ?? EMPTY})
    (func (export "cabi_post_imker:l7/plugin@1.0.0#on-data") (param $result i32)
      ${start} ${text.postOnData ?? ""})
    (func (export "imker:l7/plugin@1.0.0#close") (param $connection i32) ${text.close ?? ""}))`;
}

/** Wraps a core module in a component of the world, or of one whose WIT `edit` made. */
export async function componentOf(
  core: Uint8Array,
  edit: (wit: string) => string = (wit) => wit,
  stringEncoding: "utf8" | "utf16" = "utf8",
): Promise<Uint8Array> {
  const witSource = edit(readFileSync(WIT, "utf8"));
  const embedded = await componentEmbed({ binary: core, witSource, stringEncoding });
  return componentNew(embedded);
}

export async function guestComponent(text: GuestText): Promise<Uint8Array> {
  return componentOf(await parse(guestText(text)));
}

export const FIXTURE_MANIFEST: Manifest = {
  name: "fixture",
  version: "1.0.0",
  contract: "imker:l7@1.0.0",
  description: "a guest of a test",
  status: "alpha",
  securityPosture: "test only",
  flow: "generic",
  capabilities: ["emit", "log", "match"],
  rules: { fields: {} },
  records: { request: { fields: ["method", "path", "size"] }, response: { fields: ["status"] } },
  limits: { memoryPagesMax: 16, fuelBase: 2_000_000, fuelPerByte: 100 },
};
