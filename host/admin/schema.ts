/** Shapes of the admin API's requests. The same schemas validate and document them. */
import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const dnsLabel = z
  .string()
  .regex(DNS_LABEL, "expected a DNS label: a-z, 0-9 and '-', at most 63 characters");

const LABEL_KEY = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

export const endpointRequest = z
  .object({
    name: z
      .string()
      .max(253)
      .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, "expected a pod name: a-z, 0-9, '-' and '.'"),
    namespace: dnsLabel.default("default"),
    labels: z
      .record(
        z.string().regex(LABEL_KEY, "expected a Kubernetes label key"),
        z.string().regex(LABEL_VALUE, "expected a Kubernetes label value"),
      )
      .default({}),
    netns: z.string().startsWith("/", "expected the absolute path of a namespace").optional(),
    ipv4: z.string().refine(isIPv4, "expected an IPv4 address").optional(),
    ipv6: z.string().refine(isIPv6, "expected an IPv6 address").optional(),
    ports: z
      .array(
        z
          .object({
            name: dnsLabel,
            port: z.number().int().min(1).max(65_535),
            protocol: z.enum(["TCP", "UDP", "SCTP"]).default("TCP"),
          })
          .strict(),
      )
      .max(64)
      .default([]),
  })
  .strict();

/** Policy files as text: the agent parses them, so every client gets the same errors. */
export const policyFilesRequest = z
  .object({
    files: z
      .array(z.object({ file: z.string(), text: z.string().max(16 << 20) }).strict())
      .min(1)
      .max(1024),
  })
  .strict();

export const upgradeRequest = z
  .object({ drainSeconds: z.number().min(0).max(86_400).default(600) })
  .strict();

/** `path: message` of the first few issues of a failed validation. */
export function issuesText(error: z.ZodError): string {
  return error.issues
    .slice(0, 8)
    .map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`)
    .join("; ");
}
