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

/** A Markdown table. */
export function routesMarkdown(registry: RouteRegistry): string {
  const rows = routeRows(registry).map(
    ({ method, path, role, summary }) => `| ${method} | \`${path}\` | ${role} | ${summary} |\n`,
  );
  return `| method | path | role | what it does |\n| --- | --- | --- | --- |\n${rows.join("")}`;
}
