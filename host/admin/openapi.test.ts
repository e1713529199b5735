/** The document is whole and true: references resolve, examples are valid, the list is current. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { describeAdminApi } from "./app.ts";
import { DOCS_PAGE_CSP, docsPage } from "./docs-page.ts";
import { curlOf, exampleOf, openApiDocument, templateOf } from "./openapi.ts";
import { routesMarkdown } from "./route-list.ts";

const registry = describeAdminApi();
const document = openApiDocument(registry, "1.2.3");
const text = JSON.stringify(document);

it("every reference resolves within the document", () => {
  const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref = ""]) => ref);
  expect(references.length).toBeGreaterThan(50);
  for (const reference of new Set(references)) {
    const [, ...keys] = reference.split("/");
    const target = keys.reduce<unknown>(
      (at, key) => (at as Record<string, unknown> | undefined)?.[key],
      document,
    );
    expect([reference, typeof target]).toEqual([reference, "object"]);
  }
  expect(text).not.toContain("$defs");
});

describe.each(registry.all().map((spec) => ({ spec, name: `${spec.method} ${spec.path}` })))(
  "$name",
  ({ spec }) => {
    const operation = document.paths[templateOf(spec.path)]?.[spec.method.toLowerCase()];

    it("is in the document once, with its role and every parameter of its path", () => {
      expect(operation?.operationId).toBe(spec.id);
      expect(operation?.["x-imker-role"]).toBe(spec.role);
      const inPath = [...templateOf(spec.path).matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = (operation?.parameters ?? []).filter((one) => one.in === "path");
      expect(declared.map((one) => one.name)).toEqual(inPath);
      for (const one of declared) expect(one.example).toBeTypeOf("string");
    });

    it("has a valid example and a curl command that holds it", () => {
      const example = exampleOf(spec);
      if (spec.body !== undefined) {
        expect(spec.body.safeParse(example).error).toBeUndefined();
        expect(curlOf(spec)).toContain("-d '");
      }
      expect(curlOf(spec)).toMatch(/^curl -sS \\\n {2}--unix-socket /);
      expect(curlOf(spec)).not.toMatch(/[{][a-z]+[}]'/);
    });

    it("reading needs at most a viewer unless it is of secrets; changing needs more", () => {
      if (spec.tag === "Cases" || spec.path.startsWith("/v1/tokens")) {
        expect(spec.role).toBe("admin");
      } else if (spec.method === "GET") expect(["none", "viewer"]).toContain(spec.role);
      else expect(["operator", "admin"]).toContain(spec.role);
    });
  },
);

it("the page holds every operation and every schema, and loads nothing", () => {
  const page = docsPage(document);
  for (const spec of registry.all()) expect(page).toContain(`id="${spec.id}"`);
  for (const name of Object.keys(document.components.schemas)) {
    expect(page).toContain(`id="schema-${name}"`);
  }
  const anchors = [...page.matchAll(/href="#([^"]+)"/g)].map(([, anchor]) => anchor);
  for (const anchor of anchors) expect(page).toContain(`id="${anchor}"`);
  expect(page).not.toMatch(/<script|src=|https?:\/\/(?!localhost)/);
  expect(DOCS_PAGE_CSP).toMatch(/^default-src 'none'/);
});

it("docs/admin-api.md lists the routes as they are (`imker api routes --markdown`)", () => {
  const page = readFileSync(new URL("../../docs/admin-api.md", import.meta.url), "utf8");
  expect(page).toContain(routesMarkdown(registry));
});
