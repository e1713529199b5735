/**
 * The OpenAPI document as one HTML page for people: operations by tag with their parameters,
 * bodies, answers and a curl command, then the schemas. It loads nothing and runs nothing.
 */
import type { ApiDocument, ApiOperation, ApiResponse, JsonSchema } from "./openapi.ts";

export const DOCS_PAGE_CSP =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: #06c; }
@media (prefers-color-scheme: dark) { :root { --link: #6af; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem 1.5rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1rem 0 0.25rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
code, pre { font: 0.875rem/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: 0.75rem; overflow-x: auto; border-radius: 4px; }
details { border: 1px solid var(--line); border-radius: 4px; margin: 0.5rem 0; }
details > summary { cursor: pointer; padding: 0.5rem 0.75rem; overflow-wrap: anywhere; }
details > div { padding: 0 0.75rem 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0; }
td code { overflow-wrap: anywhere; }
tr + tr { border-top: 1px solid var(--line); }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
.GET { color: light-dark(#17714e, #3c9); } .POST { color: light-dark(#985600, #e92); }
.PUT, .PATCH { color: light-dark(#7443b8, #a7e); } .DELETE { color: light-dark(#c22, #f66); }
.soft { opacity: 0.75; } .role { float: right; font-size: 0.875rem; opacity: 0.75; }
nav a { margin-right: 1rem; }
`;

export function docsPage(document: ApiDocument): string {
  const { info, tags, components } = document;
  const sections = tags.map(({ name }) => section(document, name));
  const schemas = Object.entries(components.schemas).map(([name, schema]) =>
    folded(`schema-${name}`, `<code>${escapeHtml(name)}</code>`, schemaView(schema)),
  );
  const links = [...tags.map(({ name }) => name), "Schemas"].map(
    (name) => `<a href="#tag-${escapeHtml(name)}">${escapeHtml(name)}</a>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(info.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(info.title)}</h1>
<p class="soft">version ${escapeHtml(info.version)} · OpenAPI ${document.openapi}
· <a href="openapi.json">openapi.json</a></p>
<p>${markdown(info.description)}</p>
<nav>${links.join("\n")}</nav>
${sections.join("\n")}
<h2 id="tag-Schemas">Schemas</h2>
${schemas.join("\n")}
</body>
</html>
`;
}

function section(document: ApiDocument, tag: string): string {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, operation]) => operation.tags.includes(tag))
      .map(([method, operation]) => operationView(document, path, method, operation)),
  );
  return `<h2 id="tag-${escapeHtml(tag)}">${escapeHtml(tag)}</h2>\n${operations.join("\n")}`;
}

function operationView(
  document: ApiDocument,
  path: string,
  method: string,
  operation: ApiOperation,
): string {
  const name = method.toUpperCase();
  const role = operation["x-imker-role"];
  const summary =
    `<span class="role">${escapeHtml(role === "none" ? "open" : role)}</span>` +
    `<span class="method ${name}">${name}</span> <code>${escapeHtml(path)}</code><br>` +
    `<span class="soft">${escapeHtml(operation.summary)}</span>`;
  const samples = operation["x-codeSamples"].map(
    ({ label, source }) => `<h3>${escapeHtml(label)}</h3>\n<pre>${escapeHtml(source)}</pre>`,
  );
  const parts = [
    `<p>${markdown(operation.description)}</p>`,
    parametersView(operation),
    bodyView(operation),
    answersView(document, operation),
    ...samples,
  ];
  return folded(operation.operationId, summary, parts.join("\n"));
}

function parametersView({ parameters = [] }: ApiOperation): string {
  if (parameters.length === 0) return "";
  const rows = parameters.map((one) => [
    `<code>${escapeHtml(one.name)}</code> <span class="soft">${one.in}</span>`,
    typeOf(one.schema),
    markdown(one.description ?? "") + (one.required ? " <b>required</b>" : ""),
  ]);
  return `<h3>Parameters</h3>\n${tableOf(rows)}`;
}

function bodyView({ requestBody }: ApiOperation): string {
  if (requestBody === undefined) return "";
  const rows = Object.entries(requestBody.content).map(([mediaType, { schema }]) => [
    `<code>${escapeHtml(mediaType)}</code>`,
    schema === undefined ? "bytes" : typeOf(schema),
    markdown(requestBody.description ?? ""),
  ]);
  return `<h3>Body</h3>\n${tableOf(rows)}`;
}

function answersView(document: ApiDocument, { responses }: ApiOperation): string {
  const rows = Object.entries(responses).map(([status, response]) => {
    const known = resolve(document, response);
    const types = Object.entries(known.content ?? {}).map(
      ([mediaType, { schema }]) =>
        `<code>${escapeHtml(mediaType)}</code> ${schema === undefined ? "" : typeOf(schema)}`,
    );
    return [`<b>${escapeHtml(status)}</b>`, types.join("<br>"), markdown(known.description)];
  });
  return `<h3>Answers</h3>\n${tableOf(rows)}`;
}

function resolve(document: ApiDocument, response: ApiResponse | { $ref: string }): ApiResponse {
  if (!("$ref" in response)) return response;
  const name = response.$ref.split("/").at(-1) ?? "";
  return document.components.responses[name] ?? { description: "" };
}

function schemaView(schema: JsonSchema): string {
  const {
    properties = {},
    required = [],
    description,
    examples = [],
  } = schema as {
    properties?: Record<string, JsonSchema>;
    required?: string[];
    description?: string;
    examples?: unknown[];
  };
  const rows = Object.entries(properties).map(([name, property]) => [
    `<code>${escapeHtml(name)}</code>`,
    typeOf(property),
    markdown(String(property.description ?? "")) + (required.includes(name) ? "" : " optional"),
  ]);
  const text = description === undefined ? "" : `<p>${markdown(description)}</p>`;
  const shown = examples.map(
    (one) => `<pre>${escapeHtml(JSON.stringify(one, undefined, 2))}</pre>`,
  );
  const body = rows.length === 0 ? `<p>${typeOf(schema)}</p>` : tableOf(rows);
  return [text, body, ...shown].join("\n");
}

/** In words, such as `array of Endpoint`. */
function typeOf(schema: JsonSchema): string {
  const { $ref, type, items, allOf, oneOf, anyOf, enum: values, const: only } = schema;
  if (typeof $ref === "string") {
    const name = $ref.split("/").at(-1) ?? "";
    return `<a href="#schema-${escapeHtml(name)}">${escapeHtml(name)}</a>`;
  }
  if (Array.isArray(allOf)) return allOf.map(typeOf).join(" and ");
  const choice = oneOf ?? anyOf;
  if (Array.isArray(choice)) return choice.map(typeOf).join(" or ");
  if (only !== undefined) return `<code>${escapeHtml(JSON.stringify(only))}</code>`;
  if (Array.isArray(values)) {
    return values.map((one) => `<code>${escapeHtml(JSON.stringify(one))}</code>`).join(" or ");
  }
  if (type === "array") return `array of ${typeOf((items ?? {}) as JsonSchema)}`;
  if (type === "object") return objectType(schema);
  return [escapeHtml(String(type ?? "anything")), ...boundsOf(schema)].join(", ");
}

function objectType({ properties, additionalProperties }: JsonSchema): string {
  if (typeof properties === "object" && properties !== null) {
    const members = Object.entries(properties as Record<string, JsonSchema>).map(
      ([name, property]) => `<li><code>${escapeHtml(name)}</code>: ${typeOf(property)}</li>`,
    );
    return members.length === 0 ? "object" : `object<ul>${members.join("")}</ul>`;
  }
  const values = additionalProperties;
  const isMap = typeof values === "object" && values !== null && Object.keys(values).length > 0;
  return isMap ? `map of text to ${typeOf(values as JsonSchema)}` : "object";
}

const BOUNDS: readonly (readonly [keyword: string, words: string])[] = [
  ["format", ""],
  ["minimum", "from"],
  ["maximum", "to"],
  ["maxLength", "characters at most"],
  ["pattern", "pattern"],
  ["default", "default"],
];

function boundsOf(schema: JsonSchema): string[] {
  return BOUNDS.filter(([keyword]) => schema[keyword] !== undefined)
    .map(([keyword, words]) => {
      // A format has a pattern of its own, which says no more.
      if (keyword === "pattern" && schema.format !== undefined) return "";
      return `${words} <code>${escapeHtml(String(schema[keyword]))}</code>`.trim();
    })
    .filter((text) => text !== "");
}

/** The anchor is inside, so that a link to it opens what is folded. */
function folded(id: string, summary: string, body: string): string {
  const anchor = escapeHtml(id);
  return `<details><summary>${summary}</summary><div id="${anchor}">\n${body}\n</div></details>`;
}

function tableOf(rows: string[][]): string {
  const cells = rows.map((row) => `<tr>${row.map((cell) => `<td>${cell}</td>`).join("")}</tr>`);
  return `<table>${cells.join("\n")}</table>`;
}

/** Paragraphs and code, which is all that descriptions use. */
function markdown(text: string): string {
  return escapeHtml(text)
    .replace(/`([^`]+)`/g, "<code>$1</code>")
    .replace(/\n{2,}/g, "</p>\n<p>");
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (one) => ENTITIES[one] ?? one);
}
