/**
 * The order in which rules decide, as numbers that end up in the upper 24 bits of an entry's
 * precedence: first the tier, then the priority in it, lower first. The lowest bit is free in every
 * level, for an entry that has to be just ahead of another (entries.ts).
 */
import type { Tier } from "../rule.ts";

/** What no policy decides. */
export const DEFAULT_LEVEL = 0;

const TIER_NUMBER: Readonly<Record<Tier, number>> = { admin: 3, normal: 2, baseline: 1 };
/** Levels of one tier. */
const TIER_LEVELS = 1 << 22;
const RANK_MAX = TIER_LEVELS / 2 - 1;
/** Priorities may be fractions: the third decimal still counts. */
const RANKS_PER_PRIORITY = 1_000;

/** Low byte of a precedence (bpf/abi/abi.h, struct policy_value); what redirects is in between. */
export const CLASS = { none: 0, allow: 1, deny: 255 } as const;
const CLASSES = 256;

/** Higher decides first. Priorities below 0 count as 0, those beyond 2097 are all last. */
export function levelOf(tier: Tier, priority: number): number {
  const rank = Math.round(Math.max(0, priority) * RANKS_PER_PRIORITY);
  return TIER_NUMBER[tier] * TIER_LEVELS + 2 * (RANK_MAX - Math.min(rank, RANK_MAX));
}

/** The lowest level of the tier that `level` is in: what decides below it is of the next tiers. */
export function tierFloor(level: number): number {
  return level - (level % TIER_LEVELS);
}

export function precedenceOf(level: number, precedenceClass: number): number {
  return level * CLASSES + precedenceClass;
}

export function classOf(precedence: number): number {
  return precedence % CLASSES;
}

/** Of the same class, and ahead of everything of the level of `other`. */
export function justAhead(precedence: number, other: number): number {
  return precedenceOf(Math.floor(other / CLASSES) + 1, classOf(precedence));
}
