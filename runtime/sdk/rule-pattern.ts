/**
 * Recognises the regular expressions that need no automaton: a plain text, or a plain text with
 * `.*` behind it. They are most of what policies hold, and comparing bytes is far cheaper than
 * running an automaton. Holds only for values of printable ASCII, where `.` is every byte.
 */

/** The expression needs its automaton. */
export const SHAPE_OTHER: i32 = 0;
/** The expression is the text itself. */
export const SHAPE_EQUAL: i32 = 1;
/** The expression is the text and anything behind it. */
export const SHAPE_PREFIX: i32 = 2;

export class PatternShape {
  /** SHAPE_OTHER, SHAPE_EQUAL or SHAPE_PREFIX. */
  shape: i32 = SHAPE_OTHER;
  /** The plain text. */
  text: string = "";
}

/** Takes a full-match RE2 expression apart, if it is simple. */
export function patternShape(source: string): PatternShape {
  const result = new PatternShape();
  let from = 0;
  let end = source.length;
  // A full match begins and ends where these do, so they add nothing.
  if (from < end && source.charCodeAt(from) === 94) from++;
  if (end - from > 1 && source.charCodeAt(end - 1) === 36 && source.charCodeAt(end - 2) !== 92)
    end--;
  let shape = SHAPE_EQUAL;
  if (end - from > 1 && source.substring(end - 2, end) === ".*") {
    if (end - from === 2 || source.charCodeAt(end - 3) !== 92) {
      shape = SHAPE_PREFIX;
      end -= 2;
    }
  }
  // Runs of plain characters are taken whole: building a text by characters costs far more.
  let text = "";
  let run = from;
  let at = from;
  while (at < end) {
    const code = source.charCodeAt(at);
    if (code === 92) {
      if (at + 1 === end || !isPunctuation(source.charCodeAt(at + 1))) return result;
      text += source.substring(run, at);
      run = at + 1;
      at++;
    } else if (!isPlain(code)) {
      return result;
    }
    at++;
  }
  result.shape = shape;
  result.text = text + source.substring(run, end);
  return result;
}

/** Letters, digits and marks without a meaning of their own in RE2. */
function isPlain(code: i32): bool {
  if (code >= 97 && code <= 122) return true;
  if (code >= 65 && code <= 90) return true;
  // '/', digits and ':'.
  if (code >= 47 && code <= 58) return true;
  return code === 45 || code === 95 || code === 38 || code === 61 || code === 44 || code === 37;
}

/** Marks that a backslash makes plain. */
function isPunctuation(code: i32): bool {
  if (code >= 33 && code <= 47) return true;
  if (code >= 58 && code <= 64) return true;
  if (code >= 91 && code <= 96) return true;
  return code >= 123 && code <= 126;
}
