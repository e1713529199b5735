/** Durations as Go's programs write them, Cilium's among them: `2h13m20s`, `1.5h`, `300ms`. */

const MILLISECONDS: Readonly<Record<string, number>> = {
  ...{ ns: 1e-6, us: 1e-3, "\u00b5s": 1e-3, "\u03bcs": 1e-3 },
  ...{ ms: 1, s: 1_000, m: 60_000, h: 3_600_000 },
};
const PART = "(\\d+(?:\\.\\d*)?|\\.\\d+)(ns|[u\u00b5\u03bcm]s|s|m|h)";
const CHARACTERS_MAX = 64;

/** Milliseconds, never negative; undefined for what is no duration. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (text.length > CHARACTERS_MAX || !new RegExp(`^(?:${PART})+$`).test(text)) return undefined;
  let milliseconds = 0;
  for (const [, value, unit = ""] of text.matchAll(new RegExp(PART, "g"))) {
    milliseconds += Number(value) * (MILLISECONDS[unit] ?? Number.NaN);
  }
  return milliseconds;
}
