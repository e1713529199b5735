/**
 * Functions whose callers pay for them: so cheap, whatever way through them is taken, that a charge
 * of their own would cost more than they do. They have no loop, nothing whose cost depends on an
 * operand, call only others of their kind, and nobody reaches them but by direct calls.
 */
import type { CoreModule } from "./core-module.ts";
import type { FunctionScan } from "./scan-function.ts";

/** Units of everything in them and in what they call. */
const PAID_COST_MAX = 160;
/** How deep such functions call each other: calls cost, so they cannot be much deeper. */
const DEPTH_MAX = 5;

/**
 * Units that a call of each such function costs, by function index.
 * @param reached function indices that are called otherwise: by the host.
 */
export function paidCalls(
  module: CoreModule,
  scans: readonly FunctionScan[],
  reached: readonly number[],
): ReadonlyMap<number, number> {
  const imported = module.imports.length;
  const outside = new Set([...module.referencedFunctions, ...reached]);
  const candidates = scans.flatMap((scan, at) => {
    const index = at + imported;
    return outside.has(index) || !isSmall(scan) ? [] : [{ index, scan }];
  });
  const paid = new Map<number, number>();
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    const before = paid.size;
    for (const { index, scan } of candidates) {
      if (paid.has(index)) continue;
      const cost = costWithCalls(scan, paid);
      if (cost <= PAID_COST_MAX) paid.set(index, cost);
    }
    if (paid.size === before) break;
  }
  return paid;
}

function isSmall({ hasLoop, cost, events }: FunctionScan): boolean {
  if (hasLoop || cost > PAID_COST_MAX) return false;
  return events.every(({ kind }) => kind === "charge" || kind === "exit" || kind === "call");
}

/** Infinite while one of its callees is not known to be paid by callers. */
function costWithCalls({ cost, events }: FunctionScan, paid: ReadonlyMap<number, number>): number {
  let total = cost;
  for (const { kind, callee } of events) {
    if (kind === "call") total += paid.get(callee) ?? Number.POSITIVE_INFINITY;
  }
  return total;
}
