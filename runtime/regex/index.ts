/**
 * RE2 regular expressions, full match over UTF-8 bytes, linear time: as bounded tables for plugins
 * (`compilePattern`) and as a matcher of the host for patterns whose table would be too large
 * (`createMatcher`). JavaScript's RegExp backtracks and never sees bytes of the network.
 */
export type { AutomatonOptions, CompiledPattern } from "./automaton.ts";
export { compilePattern, runAutomaton, STATES_MAX, TABLE_BYTES_MAX } from "./automaton.ts";
export type { Matcher } from "./matcher.ts";
export { createMatcher } from "./matcher.ts";
export type { PatternErrorCode } from "./pattern-error.ts";
export { PatternError } from "./pattern-error.ts";
