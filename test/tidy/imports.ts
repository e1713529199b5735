/**
 * Imports point one way: bpf ← runtime ← plugins, host ← ui, and bench, test and deploy above all.
 * The table below is the whole truth of who may import whom; ARCHITECTURE.md says why.
 */
import { posix } from "node:path";
import { type Finding, isTest, lineAt, type Source, type Tree } from "./source.ts";

interface Layer {
  readonly folder: string;
  /** Folders it may import besides itself; "" is everything. */
  readonly may: readonly string[];
  /** What its tests may import as well. */
  readonly tests: readonly string[];
}

const LAYERS: readonly Layer[] = [
  { folder: "bpf", may: [], tests: ["host/native", "host/datapath", "test"] },
  { folder: "runtime/contract", may: [], tests: [] },
  { folder: "runtime/sdk", may: ["runtime/contract"], tests: ["runtime/regex", "runtime/testkit"] },
  {
    folder: "runtime",
    may: ["bpf/abi"],
    tests: ["plugins", "host/native", "host/datapath", "test"],
  },
  { folder: "plugins/wire", may: ["runtime/contract", "runtime/sdk"], tests: ["runtime", "test"] },
  {
    folder: "plugins",
    may: ["runtime/contract", "runtime/sdk", "plugins/wire"],
    tests: ["runtime", "test"],
  },
  {
    folder: "host",
    may: ["bpf/abi", "runtime/contract", "runtime/isolate", "runtime/regex"],
    tests: ["bpf", "runtime", "plugins", "test"],
  },
  {
    // The author's commands load compiler and kit, each when it is needed.
    folder: "host/cli",
    may: [
      "host",
      "bpf/abi",
      "runtime/contract",
      "runtime/isolate",
      "runtime/regex",
      "runtime/build",
      "runtime/testkit",
    ],
    tests: ["bpf", "runtime", "plugins", "examples", "test"],
  },
  { folder: "ui", may: [], tests: ["test"] },
  { folder: "bench", may: [""], tests: [] },
  { folder: "test", may: [""], tests: [] },
  { folder: "deploy", may: [""], tests: [] },
];

function within(path: string, folder: string): boolean {
  return folder === "" || path === folder || path.startsWith(`${folder}/`);
}

/** The innermost layer that holds a path; each plugin is a layer of its own. */
function layerOf(path: string): Layer | undefined {
  let found: Layer | undefined;
  for (const layer of LAYERS) {
    if (within(path, layer.folder) && layer.folder.length > (found?.folder.length ?? -1)) {
      found = layer;
    }
  }
  if (found?.folder !== "plugins") return found;
  return { ...found, folder: path.split("/").slice(0, 2).join("/") };
}

interface Import {
  readonly offset: number;
  readonly specifier: string;
}

/** Specifiers of `import`, `export … from`, `import()` and `require()`. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  for (const { start, text } of source.scan.strings) {
    const before = source.scan.code.slice(Math.max(0, start - 40), start);
    if (/(\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*$/.test(before)) {
      found.push({ offset: start, specifier: text });
    }
  }
  return found;
}

/** `#include "…"`; the compilers search the file's own folder, then bpf/, then .build/bpf. */
function includesOf(source: Source): Import[] {
  const found: Import[] = [];
  for (const { start, text } of source.scan.strings) {
    const lineStart = source.text.lastIndexOf("\n", start) + 1;
    if (/^\s*#\s*include\s*$/.test(source.text.slice(lineStart, start))) {
      found.push({ offset: start, specifier: text });
    }
  }
  return found;
}

function includeTarget(tree: Tree, from: string, specifier: string): string | undefined {
  if (specifier === "vmlinux.h") return undefined;
  const beside = posix.join(posix.dirname(from), specifier);
  return tree.has(beside) ? beside : posix.join("bpf", specifier);
}

function allowed(from: string, target: string): boolean {
  const layer = layerOf(from);
  if (layer === undefined) return true;
  const may = [layer.folder, ...layer.may, ...(isTest(from) ? layer.tests : [])];
  return may.some((folder) => within(target, folder));
}

export function importsPointOneWay(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const source of tree.sources) {
    const isC = /\.(c|h|cc)$/.test(source.path);
    for (const { offset, specifier } of isC ? includesOf(source) : importsOf(source)) {
      if (!isC && !specifier.startsWith(".")) continue;
      const target = isC
        ? includeTarget(tree, source.path, specifier)
        : posix.join(posix.dirname(source.path), specifier);
      if (target === undefined || allowed(source.path, target)) continue;
      const layer = layerOf(source.path)?.folder;
      const message = `${layer} must not import ${target} (the table is in test/tidy/imports.ts)`;
      findings.push({ path: source.path, line: lineAt(source, offset), message });
    }
  }
  return findings;
}
