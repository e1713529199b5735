/**
 * Which functions can call themselves again, directly or not, and how much stack the others can
 * take together. Stack overflow in V8 depends on engine and tier, and could strike inside a host
 * function the guest called; so recursion is charged by frame bytes against a budget of its own
 * (meter.ts) and what cannot recurse is added up here. Tarjan's strongly connected components.
 */
import type { CoreModule } from "./core-module.ts";
import { functionType, signature } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import type { FunctionScan } from "./scan-function.ts";

/** Bytes of stack that functions which cannot recurse may take on one call chain. */
export const STATIC_STACK_BYTES_MAX = 131_072;
/** Bytes of stack for recursive functions. Both leave half of V8's 984 KiB to the host. */
export const RECURSIVE_STACK_BYTES_MAX = 393_216;

/** Callees by node: functions first, then a node for each signature called indirectly. */
function callGraph(module: CoreModule, scans: readonly FunctionScan[]): number[][] {
  const imported = module.imports.length;
  const edges: number[][] = [];
  const signatures = new Map<string, number>();
  const indirect: number[][] = [];
  const signatureNode = (name: string): number => {
    const known = signatures.get(name);
    if (known !== undefined) return known;
    signatures.set(name, scans.length + indirect.length);
    indirect.push([]);
    return scans.length + indirect.length - 1;
  };
  for (const scan of scans) {
    const callees = new Set<number>();
    for (const { kind, callee, calleeType } of scan.events) {
      if (kind !== "call") continue;
      if (callee < 0) callees.add(signatureNode(signature(module.types[calleeType])));
      else if (callee >= imported) callees.add(callee - imported);
    }
    edges.push([...callees]);
  }
  for (const index of new Set(module.referencedFunctions)) {
    const node = signatures.get(signature(functionType(module, index)));
    if (node !== undefined) indirect[node - scans.length]?.push(index - imported);
  }
  return [...edges, ...indirect];
}

/** Numbers of the defined functions that are recursive. Throws PluginImageError. */
export function recursiveFunctions(
  module: CoreModule,
  scans: readonly FunctionScan[],
): ReadonlySet<number> {
  const edges = callGraph(module, scans);
  const recursive = new Set<number>();
  /** Stack from a node downwards, recursive frames left out. */
  const depth = new Float64Array(edges.length);
  for (const component of components(edges)) {
    const first = component[0] ?? 0;
    const cyclic = component.length > 1 || (edges[first] ?? []).includes(first);
    let deepest = 0;
    for (const node of component) {
      for (const callee of edges[node] ?? []) deepest = Math.max(deepest, depth[callee] ?? 0);
      if (cyclic && node < scans.length) recursive.add(node);
    }
    if (!cyclic) deepest += scans[first]?.frameBytes ?? 0;
    for (const node of component) depth[node] = deepest;
    if (deepest > STATIC_STACK_BYTES_MAX) {
      const where = `function ${first + module.imports.length}`;
      const state = `call chain of ${deepest} stack bytes, limit ${STATIC_STACK_BYTES_MAX}`;
      throw new PluginImageError("limit", where, state);
    }
  }
  return recursive;
}

/** Strongly connected components, callees before callers. Iterative: the graph is hostile. */
function* components(edges: readonly number[][]): Generator<number[]> {
  const order = new Int32Array(edges.length);
  const low = new Int32Array(edges.length);
  const nextEdge = new Int32Array(edges.length);
  const onStack = new Uint8Array(edges.length);
  const stack: number[] = [];
  let counter = 0;
  for (let root = 0; root < edges.length; root += 1) {
    if (order[root] !== 0) continue;
    const path = [root];
    for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
      if (order[node] === 0) {
        counter += 1;
        order[node] = counter;
        low[node] = counter;
        stack.push(node);
        onStack[node] = 1;
      }
      const at = nextEdge[node] ?? 0;
      const callee = edges[node]?.[at];
      if (callee !== undefined) {
        nextEdge[node] = at + 1;
        if (order[callee] === 0) path.push(callee);
        else if (onStack[callee] === 1) low[node] = Math.min(low[node] ?? 0, order[callee] ?? 0);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0);
      if (low[node] !== order[node]) continue;
      const component = stack.splice(stack.lastIndexOf(node));
      for (const member of component) onStack[member] = 0;
      yield component;
    }
  }
}
