/**
 * The lock file stands behind package.json: a fresh machine installs from it what this one tested.
 * Offline: it compares the two files, it asks no registry.
 */
import type { Finding, Tree } from "./source.ts";

type Ranges = Readonly<Record<string, string>>;

interface Entry {
  readonly dependencies?: Ranges;
  readonly devDependencies?: Ranges;
}

function readJson(tree: Tree, path: string): unknown {
  const source = tree.sources.find((one) => one.path === path);
  return source === undefined ? undefined : JSON.parse(source.text);
}

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null;
}

function entriesOf(lock: unknown): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  if (!isEntry(lock) || !("packages" in lock) || !isEntry(lock.packages)) return entries;
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (isEntry(entry)) entries.set(path, entry);
  }
  return entries;
}

/** As Node resolves: in the package's own node_modules, then in each one further out. */
function resolves(entries: Map<string, Entry>, from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf("/node_modules/"))) {
    if (entries.has(folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`)) {
      return true;
    }
    if (folder === "") return false;
    if (!folder.includes("/node_modules/")) folder = "/node_modules/";
  }
}

function wanted(entry: Entry): Ranges {
  return { ...entry.dependencies, ...entry.devDependencies };
}

export function lockFileIsWhole(tree: Tree): Finding[] {
  const manifest = readJson(tree, "package.json");
  const entries = entriesOf(readJson(tree, "package-lock.json"));
  const root = entries.get("");
  const path = "package-lock.json";
  const findings: Finding[] = [];
  if (!isEntry(manifest)) return findings;
  if (root === undefined) return [{ path, line: 0, message: "there is no lock file" }];
  const locked = wanted(root);
  const asked = wanted(manifest);
  for (const name of new Set([...Object.keys(asked), ...Object.keys(locked)])) {
    if (asked[name] === locked[name]) continue;
    const message = `${name}: package.json wants ${asked[name]}, the lock file ${locked[name]}`;
    findings.push({ path, line: 0, message: `${message}; run npm install` });
  }
  for (const [from, entry] of entries) {
    const names = from === "" ? wanted(entry) : (entry.dependencies ?? {});
    for (const name of Object.keys(names)) {
      if (resolves(entries, from, name)) continue;
      const message = `${from || "the project"} needs ${name}, which the lock file lacks`;
      findings.push({ path, line: 0, message: `${message}; run npm install` });
    }
  }
  return findings;
}
