// The exports of the world, as core functions. The build names them as the canonical ABI wants and
// puts the plugin's own module in the place of PLUGIN.
import { Guest } from "../../sdk/guest.ts";
import { Host } from "../../sdk/host.ts";
import { Memory } from "../../sdk/memory.ts";
import { createPlugin } from "PLUGIN";

const memory_ = new Memory();
const host = new Host();
const guest = new Guest(memory_, host, createPlugin(memory_, host));

export function cabi_realloc(old: i32, oldLength: i32, align: i32, length: i32): i32 {
  return guest.reallocate(old, oldLength, align, length);
}
export function compile(rules: i32, count: i32): i32 {
  const result = guest.compile(rules, count);
  memory_.settle();
  return result;
}
export function load_(compiled: i32, length: i32): i32 {
  const result = guest.load(compiled, length);
  memory_.settle();
  return result;
}
export function unload(ruleSet: i32): void {
  guest.unload(ruleSet);
  memory_.settle();
}
export function open(
  sourceIdentity: i32, destinationIdentity: i32,
  sourceAddress: i32, sourceAddressLength: i32,
  destinationAddress: i32, destinationAddressLength: i32,
  sourcePort: i32, destinationPort: i32, stages: i32, stageCount: i32,
): i32 {
  const handle = guest.open(
    sourceIdentity, destinationIdentity, sourceAddress, sourceAddressLength,
    destinationAddress, destinationAddressLength, sourcePort, destinationPort, stages, stageCount,
  );
  memory_.settle();
  return handle;
}
export function setStages(connection: i32, stages: i32, count: i32): void {
  guest.setStages(connection, stages, count);
  memory_.settle();
}
export function onData(connection: i32, direction: i32, data: i32, length: i32, end: i32, now: u64): i32 {
  const list = guest.onData(connection, direction, data, length, end, <f64>now);
  memory_.settle();
  return list;
}
export function close(connection: i32): void { guest.close(connection); }
