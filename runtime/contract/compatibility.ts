/**
 * The rule by which the contract may grow within version 1, checked by machine: a plugin built for
 * 1.0 runs unchanged, so whatever it knows must keep its shape, and nothing may reach it that it
 * does not know. README.md says the rule in words; `versions/` holds what was published.
 */
import { type Contract, type Definition, readWit } from "./wit.ts";

/** The interface that plugins export; all others they import. */
const EXPORTED = "plugin";

/** Everything about `next` that would break a plugin built for `published`; empty: nothing. */
export function incompatibilities(published: string, next: string): string[] {
  const old = readWit(published);
  const now = readWit(next);
  return [...worldProblems(old, now), ...interfaceProblems(old, now)];
}

function worldProblems(old: Contract, now: Contract): string[] {
  const missing = old.world.filter((item) => !now.world.includes(item));
  const added = now.world.filter((item) => !old.world.includes(item));
  return [
    ...missing.map((item) => `world: "${item}" is gone`),
    // What a plugin must export, one that was built before does not.
    ...added
      .filter((item) => !item.startsWith("import "))
      .map((item) => `world: "${item}" is new, and older plugins lack it`),
  ];
}

function interfaceProblems(old: Contract, now: Contract): string[] {
  const received = receivedTypes(now);
  const problems: string[] = [];
  for (const [name, definitions] of old.interfaces) {
    const current = now.interfaces.get(name);
    if (current === undefined) {
      problems.push(`interface ${name} is gone`);
      continue;
    }
    for (const [item, was] of definitions) {
      const is = current.get(item);
      const where = `${name}.${item}`;
      if (is === undefined) problems.push(`${where} is gone`);
      else problems.push(...definitionProblems(where, was, is, received.has(item)));
    }
    for (const [item, { kind }] of current) {
      if (kind !== "func" || definitions.has(item)) continue;
      problems.push(`${name}.${item} is new: put new functions into a new interface`);
    }
  }
  return problems;
}

/** `received`: values of it reach the plugin. */
function definitionProblems(
  where: string,
  was: Definition,
  is: Definition,
  received: boolean,
): string[] {
  if (was.kind !== is.kind) return [`${where} was a ${was.kind} and is a ${is.kind}`];
  const changed = was.members.findIndex((member, index) => is.members[index] !== member);
  if (changed >= 0) {
    const now = is.members[changed] ?? "nothing";
    return [`${where}: "${was.members[changed]}" has become "${now}"`];
  }
  const added = is.members.slice(was.members.length);
  if (added.length === 0) return [];
  if (was.kind !== "enum" && was.kind !== "variant") {
    return [`${where}: "${added[0]}" is new, which changes its layout`];
  }
  if (received) {
    return [`${where}: "${added[0]}" is new, and older plugins would receive it`];
  }
  const payloads = new Set(was.members.map(payload));
  return added
    .filter((member) => payload(member) !== "" && !payloads.has(payload(member)))
    .map((member) => `${where}: the payload of "${member}" is new, which may change its layout`);
}

function payload(member: string): string {
  return /\((.*)\)/.exec(member)?.[1] ?? "";
}

/** Names of types whose values travel from host to plugin. */
function receivedTypes(contract: Contract): Set<string> {
  const named = new Map<string, Definition>();
  const texts: string[] = [];
  for (const [name, definitions] of contract.interfaces) {
    for (const [item, definition] of definitions) {
      if (definition.kind !== "func") named.set(item, definition);
      else if (name === EXPORTED) texts.push(...definition.members.slice(0, -1));
      else texts.push(definition.members.at(-1) ?? "");
    }
  }
  const received = new Set<string>();
  while (texts.length > 0) {
    // Of `name: type` and `case(type)` only the type counts.
    const text = (texts.pop() ?? "").replace(/^[^:(]*[:(]/, "");
    for (const word of text.match(/[A-Za-z][\w-]*/g) ?? []) {
      const definition = named.get(word);
      if (definition === undefined || received.has(word)) continue;
      received.add(word);
      texts.push(...definition.members.map((member) => nested(definition, member)));
    }
  }
  return received;
}

/** An enum's cases have no types; a type's text is one as a whole. */
function nested({ kind }: Definition, member: string): string {
  if (kind === "enum") return "";
  if (kind === "variant") return member.includes("(") ? member : "";
  return kind === "type" ? `:${member}` : member;
}
