/** The admin API's description, made from its declarations and not asked of an agent. */
import { describeAdminApi } from "../admin/app.ts";
import { docsPage } from "../admin/docs-page.ts";
import { openApiDocument } from "../admin/openapi.ts";
import { type RouteRow, routeRows, routesMarkdown } from "../admin/route-list.ts";

export function openApiText(version: string): string {
  return `${JSON.stringify(openApiDocument(describeAdminApi(), version), undefined, 2)}\n`;
}

export function docsHtml(version: string): string {
  return docsPage(openApiDocument(describeAdminApi(), version));
}

export function routeList(): RouteRow[] {
  return routeRows(describeAdminApi());
}

export function routeMarkdown(): string {
  return routesMarkdown(describeAdminApi());
}
