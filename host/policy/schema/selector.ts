/** Schema of Kubernetes label selectors, with Cilium's label sources (`k8s:app`) or without. */
import { z } from "zod";
import { acrossFields, itemsOf, matching, textField, textOf } from "./field.ts";

const NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const DOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const SOURCE = /^[a-z][a-z0-9-]*$/;
const NAME_CHARACTERS_MAX = 63;
const DOMAIN_CHARACTERS_MAX = 253;

/** Kubernetes' qualified name: `[domain/]name`. */
function testQualifiedName(key: string): string | undefined {
  const slash = key.indexOf("/");
  const domain = slash < 0 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  if (domain !== undefined && (domain.length > DOMAIN_CHARACTERS_MAX || !DOMAIN.test(domain))) {
    return `invalid label key ${JSON.stringify(key)}: the part before / is not a domain name`;
  }
  if (name.length > NAME_CHARACTERS_MAX || !NAME.test(name)) {
    return `invalid label key ${JSON.stringify(key)}`;
  }
  return undefined;
}

function testSourcedKey(key: string): string | undefined {
  const colon = key.indexOf(":");
  if (colon < 0) return testQualifiedName(key);
  const source = key.slice(0, colon);
  if (!SOURCE.test(source)) return `invalid label source ${JSON.stringify(source)}`;
  return testQualifiedName(key.slice(colon + 1));
}

const sourcedKey = textField("a label key such as app, k8s:app or reserved:host", testSourcedKey);
const plainKey = textField("a label key such as app or example.com/app", testQualifiedName);
const labelValue = textField(
  "at most 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends",
  (value) =>
    value === "" || (value.length <= NAME_CHARACTERS_MAX && NAME.test(value))
      ? undefined
      : `invalid label value ${JSON.stringify(value)}`,
);

const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

const valuesFitOperator = acrossFields((fields, report) => {
  const operator = textOf(fields.operator);
  const count = itemsOf(fields.values).length;
  if ((operator === "In" || operator === "NotIn") && count === 0) {
    report(["values"], `operator ${operator} needs values`, "at least one value");
  }
  if ((operator === "Exists" || operator === "DoesNotExist") && count > 0) {
    report(["values"], `operator ${operator} takes no values`, "no values");
  }
});

/** Null is the same as absent, as the API server reads it; not so in a map of labels. */
function createSelectorSchema(key: typeof sourcedKey) {
  return z.strictObject({
    matchLabels: z.record(key, labelValue).nullish(),
    matchExpressions: z
      .array(
        z
          .strictObject({
            key,
            operator: z.enum(OPERATORS),
            values: z.array(labelValue).nullish(),
          })
          .check(valuesFitOperator),
      )
      .nullish(),
  });
}

/** Labels of an object, as Kubernetes has them. */
export const labelMapSchema = z.record(plainKey, labelValue);

/** Keys may name a source. */
export const endpointSelectorSchema = createSelectorSchema(sourcedKey);

/** Of Kubernetes' own kinds: keys have no source. */
export const plainSelectorSchema = createSelectorSchema(plainKey);

export type LabelSelector = z.infer<typeof plainSelectorSchema>;

export const dnsLabel = textField(
  "a lower-case DNS label of at most 63 characters",
  matching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, "is not a DNS label"),
);

export const dnsName = textField("a lower-case DNS name of at most 253 characters", (value) =>
  value.length <= DOMAIN_CHARACTERS_MAX && DOMAIN.test(value) ? undefined : "is not a DNS name",
);
