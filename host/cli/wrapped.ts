/** Text that fits a terminal. */

const COLUMNS_MAX = 100;

/** One paragraph, its lines behind `indent`; the first starts with `first` instead, if given. */
export function wrapped(text: string, indent: string, first: string = indent): string {
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > COLUMNS_MAX) {
      lines.push(line);
      line = indent;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line].map((one) => `${one.trimEnd()}\n`).join("");
}

const LISTED_MAX = 6;

/** The first few, and how many more. `count` if there are more than are given. */
export function listed(items: readonly string[], separator: string, count = items.length): string {
  const shown = items.slice(0, LISTED_MAX);
  const more = count - shown.length;
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(separator);
}
