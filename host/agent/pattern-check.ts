/** Says what is wrong with a regular expression, for the policy parser. */
import { compilePattern, PatternError } from "../../runtime/regex/index.ts";
import type { PolicyFileDeps } from "../policy/index.ts";

export function createPatternCheck(): PolicyFileDeps["checkPattern"] {
  return (source) => {
    try {
      compilePattern(source);
      return undefined;
    } catch (error) {
      if (error instanceof PatternError) return error.message;
      throw error;
    }
  };
}
