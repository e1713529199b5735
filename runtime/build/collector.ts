/**
 * The garbage collector of what is built: AssemblyScript's incremental one, made to work a little
 * after each call, when nothing is on the stack, and never during one. So no call pays for a whole
 * collection, however much is alive, and code needs no shadow stack. Its sources are the compiler's
 * own library, changed in few places.
 */

const RUNTIME = "rt/index-minimal";
const COLLECTOR = "rt/itcms";
const ALLOCATOR = "rt/tlsf";

/** A collection begins when what is alive has doubled, at least by so much. */
const COLLECT_BYTES_MIN = 262_144;
/** Steps after a call: objects marked, or a tenth of those freed. About 50 units of fuel each. */
const STEPS_MIN = 1_024;
/** Memory grows by at most so much at once unless more is needed: pages are paid with fuel. */
const GROW_PAGES_MAX = 16;

/** File, what it has, what it gets instead. */
const CHANGES: readonly [string, string, string][] = [
  [RUNTIME, "tcms", "itcms"],
  [COLLECTOR, "  if (total >= threshold) interrupt();\n", ""],
  [COLLECTOR, "        visitStack(VISIT_SCAN);\n", ""],
  // For objects that are visited before they are complete: none is, between calls.
  [COLLECTOR, "  memory.fill(ptr, 0, size);\n", ""],
  [COLLECTOR, "((<usize>memory.size() << 16) - __heap_base) >> 1", String(COLLECT_BYTES_MIN)],
  [
    ALLOCATOR,
    "max(pagesBefore, pagesNeeded)",
    `max(min(pagesBefore, ${GROW_PAGES_MAX}), pagesNeeded)`,
  ],
];

/** Faster than what was allocated meanwhile, or a collection might never end. */
const ADVANCE = `
@lazy let seen: usize = 0;

export function advance(): void {
  if (state == STATE_IDLE) {
    if (total < threshold) return;
    seen = total;
  }
  let budget: isize = ${STEPS_MIN} + (total > seen ? <isize>(total - seen) >> 1 : 0);
  do {
    budget -= <isize>step() + 1;
    if (state == STATE_IDLE) {
      threshold = total + max(total, ${COLLECT_BYTES_MIN});
      break;
    }
  } while (budget > 0);
  seen = total;
}
`;

/**
 * Changes the compiler's library, by file; a second time does nothing.
 * @returns the first file that is not as expected, if one is; nothing is built then.
 */
export function changeCollector(files: Record<string, string>): string | undefined {
  if (files[COLLECTOR]?.endsWith(ADVANCE) === true) return undefined;
  const changed: Record<string, string> = {};
  for (const [file, from, to] of CHANGES) {
    const source = changed[file] ?? files[file];
    if (source?.includes(from) !== true) return file;
    changed[file] = source.replace(from, () => to);
  }
  changed[COLLECTOR] += ADVANCE;
  Object.assign(files, changed);
  return undefined;
}
