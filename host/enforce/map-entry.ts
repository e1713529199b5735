/** A resolved entry, with its numbers, to the row of the kernel's policy map. */
import type { PolicyMapEntry } from "../datapath/types.ts";
import { watchesOnly } from "../policy/index.ts";
import type { ResolvedEntry } from "../policy/types.ts";

export interface EntryNumbers {
  /** Of the entry's L7 rules; 0: it has none, or their plugin is not there. */
  ruleSet: number;
  cookie: number;
}

/**
 * Rules without a rule set deny what they govern (redirect to nothing: DROP_NO_PLUGIN), unless the
 * policy says that its plugin's failure is open: then it passes unseen, as a plain allow does.
 */
export function mapEntry(
  { l7, origins: _, ...entry }: ResolvedEntry,
  { ruleSet, cookie }: EntryNumbers,
): PolicyMapEntry {
  if (l7 === undefined) return { ...entry, redirect: false, ruleSet: 0, cookie };
  if (ruleSet === 0) return { ...entry, redirect: l7.failure !== "open", ruleSet, cookie };
  const row = { ...entry, redirect: true, ruleSet, cookie };
  return watchesOnly(l7) ? { ...row, watch: true } : row;
}
