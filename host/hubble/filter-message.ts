/** The filters on the L7 message of a flow. The message is decoded once for all of them. */
import type { FlowPredicate } from "./filter-ends.ts";
import { EVENT_TYPE, type HttpFacts, type MessageFacts } from "./flow-facts.ts";
import type { FlowFilter } from "./gen/flow/flow_pb.ts";
import { compileRegex, invalid } from "./pattern.ts";

type MessagePredicate = (message: MessageFacts) => boolean;

const STATUS = /^[1-5][0-9]{2}$/;
const STATUS_PREFIX = /^[1-5][0-9]?\+$/;

/** At most one predicate; throws HubbleError. */
export function messagePredicates(filter: FlowFilter): FlowPredicate[] {
  const predicates = [...httpPredicates(filter)];
  if (filter.traceId.length > 0) {
    const wanted = new Set(filter.traceId);
    predicates.push(({ traceId }) => traceId !== "" && wanted.has(traceId));
  }
  if (filter.dnsQuery.length > 0) {
    for (const source of filter.dnsQuery) compileRegex("dns_query", source);
    // No plugin of this version fills DNS records, so no flow has a query.
    predicates.push(() => false);
  }
  if (predicates.length === 0) return [];
  return [
    (flow) => {
      const { message } = flow;
      return message !== undefined && predicates.every((match) => match(message));
    },
  ];
}

function httpPredicates(filter: FlowFilter): MessagePredicate[] {
  const predicates: MessagePredicate[] = [];
  const add = <T>(
    field: string,
    values: readonly T[],
    compile: (values: readonly T[]) => (http: HttpFacts) => boolean,
  ): void => {
    if (values.length === 0) return;
    const types = filter.eventType;
    if (types.length > 0 && !types.some(({ type }) => type === EVENT_TYPE.l7)) {
      throw invalid(field, "the event type filter does not have l7 events");
    }
    const match = compile(values);
    predicates.push(({ http }) => http !== undefined && match(http));
  };
  add("http_status_code", filter.httpStatusCode, compileStatusCodes);
  add("http_method", filter.httpMethod, (methods) => {
    const wanted = new Set(methods.map((method) => method.toLowerCase()));
    return ({ method }) => method !== "" && wanted.has(method.toLowerCase());
  });
  add("http_path", filter.httpPath, (sources) => {
    const patterns = sources.map((source) => compileRegex("http_path", source));
    return ({ url }) => {
      const path = pathOf(url);
      return path !== undefined && patterns.some((match) => match(path));
    };
  });
  add("http_url", filter.httpUrl, (sources) => {
    const patterns = sources.map((source) => compileRegex("http_url", source));
    return ({ url }) => url !== "" && patterns.some((match) => match(url));
  });
  add("http_header", filter.httpHeader, (headers) => {
    return (http) =>
      http.headers.some((own) =>
        headers.some(({ key, value }) => key === own.key && value === own.value),
      );
  });
  return predicates;
}

/** `404` exactly, `4+` and `40+` as prefixes. */
function compileStatusCodes(texts: readonly string[]): (http: HttpFacts) => boolean {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  for (const text of texts) {
    if (STATUS.test(text)) exact.add(text);
    else if (STATUS_PREFIX.test(text)) prefixes.push(text.slice(0, -1));
    else throw invalid("http_status_code", `${JSON.stringify(text)} is no status or prefix`);
  }
  return ({ code }) => {
    if (code === 0) return false;
    const text = String(code).padStart(3, "0");
    return exact.has(text) || prefixes.some((prefix) => text.startsWith(prefix));
  };
}

/** The path of a URL without its query, percent-decoded where that is well-formed. */
function pathOf(url: string): string | undefined {
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(url)?.[1];
  if (path === undefined) return undefined;
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
