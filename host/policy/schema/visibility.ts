/**
 * Schema of the VisibilityPolicy (`imker.io/v1alpha1`): traffic of some endpoints on some ports is
 * shown to a plugin. It allows and denies nothing.
 */
import { z } from "zod";
import { acrossFields, textField, textOf } from "./field.ts";
import { pluginReferenceSchema } from "./l7.ts";
import { metadataSchema } from "./metadata.ts";
import { endPortSchema, parsePortNumber } from "./port.ts";
import { dnsName, endpointSelectorSchema } from "./selector.ts";

const PORT_EXPECTED = 'a string: a number from 1 to 65535 such as "6379"';
const PORTS_MAX = 40;

const port = z.strictObject({
  port: textField(PORT_EXPECTED, (value) =>
    parsePortNumber(value) ? undefined : `${JSON.stringify(value)} is not a number from 1 to 65535`,
  ),
  endPort: endPortSchema.meta({ expected: "a number from 0 to 65535" }).optional(),
  /** The proxy takes nothing else. */
  protocol: z.literal("TCP").optional(),
});

const spec = z
  .strictObject({
    /** Of the policy's namespace. */
    endpointSelector: endpointSelectorSchema.optional(),
    /** Name of one endpoint of the policy's namespace, instead of a selector. */
    endpoint: dnsName.optional(),
    /** As the endpoint sees it; `ingress` if absent. */
    direction: z.enum(["ingress", "egress"]).optional(),
    ports: z
      .array(port)
      .min(1)
      .max(PORTS_MAX)
      .meta({ expected: `1 to ${PORTS_MAX} ports` }),
    plugin: pluginReferenceSchema,
  })
  .check(
    acrossFields((fields, report) => {
      const named = textOf(fields.endpoint) !== "";
      if (named !== (fields.endpointSelector !== undefined)) return;
      const message = named
        ? "endpoint and endpointSelector may not stand together"
        : "one of endpoint or endpointSelector must be provided";
      report(named ? ["endpoint"] : [], message, "either endpoint or endpointSelector");
    }),
  );
export type VisibilitySpec = z.infer<typeof spec>;

export const VISIBILITY_API_VERSION = "imker.io/v1alpha1";

export const visibilityPolicySchema = z.strictObject({
  apiVersion: z.literal(VISIBILITY_API_VERSION),
  kind: z.literal("VisibilityPolicy"),
  metadata: metadataSchema,
  spec,
  status: z.unknown().optional(),
});
