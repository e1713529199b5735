/**
 * Schema of L7 rules: HTTP, DNS, and the two forms Cilium removed in 1.20 and we keep, `kafka`
 * and the generic `l7proto` + `l7`. Whether a pattern compiles is checked in ../pattern-check.ts.
 */
import { z } from "zod";
import { flattenRule } from "../rule-fields.ts";
import { acrossFields, itemsOf, matching, textField, textOf } from "./field.ts";

const pattern = textField("a regular expression (RE2)");

const headerMatch = z.strictObject({
  name: textField("a header name", matching(/./, "must not be empty")),
  value: z.string().optional(),
  secret: z.strictObject({ namespace: z.string().optional(), name: z.string() }).optional(),
  mismatch: z.enum(["LOG", "ADD", "DELETE", "REPLACE"]).optional(),
});

const httpRule = z.strictObject({
  path: pattern.optional(),
  method: pattern.optional(),
  host: pattern.optional(),
  headers: z.array(textField("a header: Name or Name: value")).optional(),
  headerMatches: z.array(headerMatch).optional(),
});
export type HttpRule = z.infer<typeof httpRule>;

const FQDN_CHARACTERS_MAX = 255;

/** One of `matchName` and `matchPattern`; also the shape of `toFQDNs`. */
export const fqdnSchema = z
  .strictObject({
    matchName: textField("a DNS name", testFqdn(/^[-a-zA-Z0-9_.]+$/)).optional(),
    matchPattern: textField("a DNS name with *", testFqdn(/^[-a-zA-Z0-9_.*]+$/)).optional(),
  })
  .check(
    acrossFields((fields, report) => {
      const given = ["matchName", "matchPattern"].filter((name) => fields[name] !== undefined);
      if (given.length === 1) return;
      const message =
        given.length === 0
          ? "one of matchName or matchPattern must be provided"
          : "only one of matchName or matchPattern is allowed";
      report([], message, "either matchName or matchPattern");
    }),
  );

function testFqdn(characters: RegExp) {
  return (value: string) => {
    if (value.length > FQDN_CHARACTERS_MAX) return `is longer than ${FQDN_CHARACTERS_MAX}`;
    return characters.test(value) ? undefined : "holds characters that no DNS name has";
  };
}

/** In the order of their numbers, from 0; compared in lower case. */
const KAFKA_API_KEYS: readonly string[] = [
  ...["produce", "fetch", "offsets", "metadata", "leaderandisr", "stopreplica"],
  ...["updatemetadata", "controlledshutdown", "offsetcommit", "offsetfetch", "findcoordinator"],
  ...["joingroup", "heartbeat", "leavegroup", "syncgroup", "describegroups", "listgroups"],
  ...["saslhandshake", "apiversions", "createtopics", "deletetopics", "deleterecords"],
  ...["initproducerid", "offsetforleaderepoch", "addpartitionstotxn", "addoffsetstotxn"],
  ...["endtxn", "writetxnmarkers", "txnoffsetcommit", "describeacls", "createacls"],
  ...["deleteacls", "describeconfigs", "alterconfigs"],
];

const TOPIC = /^[a-zA-Z0-9._-]{0,255}$/;
const kafkaRule = z
  .strictObject({
    role: z.enum(["produce", "consume"]).optional(),
    apiKey: textField("the name of a Kafka request", (value) =>
      value === "" || KAFKA_API_KEYS.includes(value.toLowerCase())
        ? undefined
        : `invalid Kafka APIKey: ${JSON.stringify(value)}`,
    ).optional(),
    apiVersion: textField("a number", matching(/^[0-9]*$/, "is not a number")).optional(),
    clientID: z.string().optional(),
    topic: textField("a topic name", matching(TOPIC, "is not a topic name")).optional(),
  })
  .check(
    acrossFields((fields, report) => {
      if (textOf(fields.role) !== "" && textOf(fields.apiKey) !== "") {
        report(["apiKey"], "cannot set both role and apiKey", "either role or apiKey");
      }
    }),
  );

/** As in a plugin's manifest, with an optional pinned version. */
const PLUGIN = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?(@\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?)?$/;
export const pluginReferenceSchema = textField(
  "the name of a plugin, NAME or NAME@1.2.3",
  matching(PLUGIN, "is not the name of a plugin"),
);

/** What it may hold beyond a map of strings is the plugin's to say (../plugin-check.ts). */
const pluginRule = z.record(z.string(), z.unknown()).check(
  acrossFields((fields, report) => {
    for (const { path, message, expected } of flattenRule(fields).problems) {
      report([...path], message, expected);
    }
  }),
);
const KINDS = ["http", "dns", "kafka", "l7proto"] as const;

export const l7RulesSchema = z
  .strictObject({
    http: z.array(httpRule).optional(),
    dns: z.array(fqdnSchema).optional(),
    kafka: z.array(kafkaRule).optional(),
    l7proto: pluginReferenceSchema.optional(),
    l7: z.array(pluginRule).optional(),
  })
  .check(
    acrossFields((fields, report) => {
      const given = KINDS.filter((kind) => fields[kind] !== undefined);
      const expected = `one of ${KINDS.join(", ")}`;
      if (given.length > 1) {
        report([], "multiple L7 protocol rule types specified in single rule", expected);
      }
      // It would be no L7 rule, and so allow everything on its ports.
      if (Object.keys(fields).length === 0) report([], "no L7 protocol is specified", expected);
      if (fields.l7 !== undefined && fields.l7proto === undefined) {
        const message = "'l7' may only be specified when a 'l7proto' is also specified";
        report(["l7"], message, "l7proto beside it");
      }
    }),
  );
export type L7RuleBlock = z.infer<typeof l7RulesSchema>;

/** Which kind of L7 rules is really there: an empty list is the same as none. */
export function l7KindOf(rules: Record<string, unknown>): (typeof KINDS)[number] | undefined {
  if (textOf(rules.l7proto) !== "") return "l7proto";
  return KINDS.find((kind) => itemsOf(rules[kind]).length > 0);
}
