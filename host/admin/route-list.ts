/** The routes as a list: what `imker api routes` prints and docs/admin-api.md holds. */
import { templateOf } from "./openapi.ts";
import type { RouteRegistry } from "./route.ts";

export interface RouteRow {
  method: string;
  path: string;
  role: string;
  summary: string;
}

/** In the order of the document. */
export function routeRows(registry: RouteRegistry): RouteRow[] {
  return registry.all().map(({ method, path, role, summary }) => ({
    ...{ method, path: templateOf(path), role, summary },
  }));
}

/** A Markdown table, padded as the formatter pads it. */
export function routesMarkdown(registry: RouteRegistry): string {
  const head = ["method", "path", "role", "what it does"];
  const rows = routeRows(registry).map(({ method, path, role, summary }) => [
    ...[method, `\`${path}\``, role, summary],
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: string[], fill: string): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0, fill)).join(" | ")} |\n`;
  return [line(head, " "), line(["", "", "", ""], "-"), ...rows.map((row) => line(row, " "))].join(
    "",
  );
}
