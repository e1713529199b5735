/**
 * What a record's fields mean: the plugin's manifest names them, and the names that HTTP has fill
 * flow.HTTP. Everything else of an HTTP record is a header; every field of other protocols goes to
 * the plugin's own extension and into the summary.
 */
import { RECORD_KIND } from "../../runtime/contract/records.ts";
import { readRecordFields } from "../event/record-fields.ts";
import type { L7Record } from "../event/types.ts";
import type { HttpFacts } from "./flow-facts.ts";
import type { PluginRecords } from "./getters.ts";

/** Field names of flow kind `http`, as plugins/l7-http/plugin.json has them. */
const HTTP_FIELDS: ReadonlySet<string> = new Set([
  "method",
  "path",
  "url",
  "host",
  "scheme",
  "protocol",
  "status",
]);
/** W3C Trace Context: version, trace id, parent id, flags. */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

export type NamedFields = ReadonlyMap<string, string>;

/** Fields by name; one whose key the manifest does not have is named by its number. */
export function namedFields(plugin: PluginRecords | undefined, record: L7Record): NamedFields {
  const kind = record.kind === RECORD_KIND.request ? "request" : "response";
  const names = plugin?.records[kind].fields ?? [];
  const named = new Map<string, string>();
  for (const { key, value } of readRecordFields(record.body)) {
    named.set(names[key] ?? `field${key}`, String(value));
  }
  return named;
}

/** `request` are the fields of the request a response answers. */
export function httpFacts(fields: NamedFields, request: NamedFields | undefined): HttpFacts {
  const asked = request ?? fields;
  return {
    code: statusCode(fields.get("status")),
    method: asked.get("method") ?? "",
    url: httpUrl(asked),
    protocol: fields.get("protocol") ?? asked.get("protocol") ?? "",
    headers: [...fields]
      .filter(([name]) => !HTTP_FIELDS.has(name))
      .map(([key, value]) => ({ key, value })),
  };
}

/** Trace id of a `traceparent` field, or empty. */
export function traceIdOf(fields: NamedFields): string {
  return TRACEPARENT.exec(fields.get("traceparent") ?? "")?.[1] ?? "";
}

function httpUrl(request: NamedFields): string {
  const url = request.get("url");
  if (url !== undefined) return url;
  const path = request.get("path") ?? "";
  const host = request.get("host") ?? "";
  if (path === "" && host === "") return "";
  // The absolute form names its host itself (RFC 9112, section 3.2.2).
  if (/^https?:\/\//i.test(path)) return path;
  const slash = path === "" || path.startsWith("/") ? "" : "/";
  return `${request.get("scheme") ?? "http"}://${host}${slash}${path}`;
}

function statusCode(text: string | undefined): number {
  const code = Number(text ?? "0");
  return Number.isInteger(code) && code >= 0 && code <= 0xffff_ffff ? code : 0;
}
