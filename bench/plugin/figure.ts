/**
 * A measured figure beside its goal, and how the figures are shown: as JSON
 * in the shape the project's goals are stated in, or as a table.
 */
import { significant } from "../stats.ts";

export interface Figure {
  /** Ends in its unit where it has one. */
  name: string;
  value: number;
  unit: string;
  /** At most this, or at least (`atLeast`). */
  goal: number;
  met: boolean;
}

export interface FigureReport {
  figures: Record<string, Omit<Figure, "name">>;
}

/** Judged on what is shown: the value is rounded first. */
export function atMost(goal: number, name: string, value: number, unit: string): Figure {
  const shown = significant(value);
  return { name, value: shown, unit, goal, met: shown <= goal };
}

/** The same where more is better. */
export function atLeast(goal: number, name: string, value: number, unit: string): Figure {
  const shown = significant(value);
  return { name, value: shown, unit, goal, met: shown >= goal };
}

export function toFigureReport(figures: readonly Figure[]): FigureReport {
  return { figures: Object.fromEntries(figures.map(({ name, ...rest }) => [name, rest])) };
}

export function formatFigures(machine: string, figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, goal, met }) => [
    ...[name, String(value), String(goal), unit, met ? "met" : "missed"],
  ]);
  const table = [["figure", "value", "goal", "unit", "result"], ...rows];
  const widths = [0, 1, 2, 3].map((at) => Math.max(...table.map((row) => row[at]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, at) => (at === 1 || at === 2 ? cell.padStart(widths[at] ?? 0) : pad(cell, at)))
      .join("  "),
  );
  function pad(cell: string, at: number): string {
    return cell.padEnd(widths[at] ?? 0);
  }
  return `${machine}\n\n${lines.join("\n")}\n`;
}
