/**
 * Schema of the metadata of policies, and of the annotations that say how their L7 rules count.
 * Annotations of others are none of our business; one of ours that is misspelt is an error.
 */
import { z } from "zod";
import type { FailurePolicy, RuleMode } from "../../../runtime/contract/control.ts";
import { suggestion } from "../problem.ts";
import { acrossFields } from "./field.ts";
import { dnsLabel, dnsName } from "./selector.ts";

const PREFIX = "imker.io/";
export const ANNOTATION = { mode: "imker.io/l7-mode", failure: "imker.io/l7-failure" } as const;
const KNOWN = Object.values(ANNOTATION);

const annotations = z
  .looseObject({
    [ANNOTATION.mode]: z.enum(["enforce", "audit", "observe"]).optional(),
    [ANNOTATION.failure]: z.enum(["closed", "open"]).optional(),
  })
  .check(
    acrossFields((fields, report) => {
      for (const key of Object.keys(fields)) {
        if (!key.startsWith(PREFIX) || KNOWN.some((known) => known === key)) continue;
        const message = `unknown annotation ${JSON.stringify(key)}${suggestion(key, KNOWN)}`;
        report([key], message, `one of ${KNOWN.join(", ")}`);
      }
    }),
  )
  .nullish();

/** Written by the API server or by tools, and nothing a policy's meaning depends on. */
const idle = z.unknown().optional();

/**
 * Of namespaced kinds; a clusterwide one replaces `namespace`. It is all that Kubernetes knows: a
 * misspelt `namespace` would put a policy into another one.
 */
export const metadataFields = {
  name: dnsName,
  namespace: dnsLabel.nullish(),
  uid: z.string().nullish(),
  annotations,
  labels: idle,
  generateName: idle,
  resourceVersion: idle,
  generation: idle,
  creationTimestamp: idle,
  deletionTimestamp: idle,
  deletionGracePeriodSeconds: idle,
  ownerReferences: idle,
  finalizers: idle,
  managedFields: idle,
  selfLink: idle,
  /** No field of Kubernetes, but of old examples: ../advice.ts says so. */
  description: idle,
};
export const metadataSchema = z.strictObject(metadataFields);

/** How the L7 rules of one policy count. */
export interface L7Settings {
  mode: RuleMode;
  failure: FailurePolicy;
}

export function l7SettingsOf(metadata: {
  annotations?: z.infer<typeof annotations> | undefined;
}): L7Settings {
  const { [ANNOTATION.mode]: mode = "enforce", [ANNOTATION.failure]: failure = "closed" } =
    metadata.annotations ?? {};
  return { mode, failure };
}
