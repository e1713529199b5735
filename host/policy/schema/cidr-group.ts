/** Schema of the CiliumCIDRGroup (`cilium.io/v2`, `v2alpha1`): address prefixes under a name. */
import { z } from "zod";
import { forbiddenField } from "./field.ts";
import { metadataFields } from "./metadata.ts";
import { cidrSchema } from "./peer.ts";
import { labelMapSchema } from "./selector.ts";

/** Every prefix is a row of the kernel's ipcache. */
const PREFIXES_MAX = 20_000;

const spec = z.strictObject({
  externalCIDRs: z
    .array(cidrSchema)
    .max(PREFIXES_MAX)
    .meta({ expected: `a list of at most ${PREFIXES_MAX} prefixes` }),
});
export type CidrGroupSpec = z.infer<typeof spec>;

export const cidrGroupSchema = z.strictObject({
  apiVersion: z.enum(["cilium.io/v2", "cilium.io/v2alpha1"]),
  kind: z.literal("CiliumCIDRGroup"),
  metadata: z.strictObject({
    ...metadataFields,
    namespace: forbiddenField("a group of address prefixes has no namespace"),
    labels: labelMapSchema.nullish(),
  }),
  spec,
  status: z.unknown().optional(),
});
