/** Shapes of the admin API's requests. The same schemas validate and document them. */
import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const dnsLabel = z
  .string()
  .regex(DNS_LABEL, "expected a DNS label: a-z, 0-9 and '-', at most 63 characters");

const LABEL_KEY = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

const labelKey = z.string().regex(LABEL_KEY, "expected a Kubernetes label key");
const labelValue = z.string().regex(LABEL_VALUE, "expected a Kubernetes label value");
/** A record tells only that a key is wrong, not what is. */
const labelError = ({ code }: { code?: string }): string | undefined =>
  code === "invalid_key" ? "expected a Kubernetes label key, without a source" : undefined;

const podName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, "expected a pod name: a-z, 0-9, '-' and '.'");

export const endpointRequest = z
  .object({
    name: podName,
    namespace: dnsLabel.default("default"),
    labels: z.record(labelKey, labelValue, { error: labelError }).default({}),
    serviceAccount: podName
      .optional()
      .meta({ description: "Policies select by it: io.cilium.k8s.policy.serviceaccount" }),
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
  .strict()
  .meta({
    id: "EndpointRequest",
    examples: [
      {
        name: "web",
        namespace: "shop",
        labels: { app: "web" },
        ports: [{ name: "http", port: 8080, protocol: "TCP" }],
      },
    ],
  });

export const endpointOptions = z
  .object({
    policyAuditMode: z.boolean().meta({
      description: "What L3/L4 policy denies passes and is told as audited; L7 is enforced",
    }),
  })
  .strict()
  .meta({ id: "EndpointOptions", examples: [{ policyAuditMode: true }] });

/** As a JSON merge patch: null takes a label away. */
export const endpointPatch = z
  .object({
    labels: z
      .record(labelKey, labelValue.nullable(), { error: labelError })
      .meta({ description: "Labels to set; null takes one away, others stay" }),
  })
  .strict()
  .meta({ id: "EndpointPatch", examples: [{ labels: { version: "2", canary: null } }] });

const IDENTITY_MAX = 0xffff_ffff;
export const identityParams = z.object({
  id: z.coerce.number().int().min(0).max(IDENTITY_MAX).meta({ description: "Its number" }),
});

const reference = z.string().meta({ description: "An id, a name, or `namespace/name`" });
export const referenceParams = z.object({ reference });

/** Policy files as text: the agent parses them, so every client gets the same errors. */
export const policyFilesRequest = z
  .object({
    files: z
      .array(z.object({ file: z.string(), text: z.string().max(16 << 20) }).strict())
      .min(1)
      .max(1024),
  })
  .strict()
  .meta({
    id: "PolicyFiles",
    examples: [{ files: [{ file: "web.yaml", text: "apiVersion: cilium.io/v2\nkind: …" }] }],
  });

/** `true` or `false` in a query. */
const flag = (description: string) =>
  z
    .enum(["true", "false"])
    .default("false")
    .transform((value) => value === "true")
    .meta({ description });

export const waitQuery = z.object({ wait: flag("Answer when kernel and proxy enforce it") });

const CONFIRM_SECONDS_MAX = 86_400;
const SECONDS_OF = { s: 1, m: 60, h: 3_600 } as const;

/** Milliseconds. */
const duration = z
  .string()
  .regex(/^[1-9]\d{0,5}[smh]$/, "expected a duration such as 60s, 5m or 1h")
  .transform((text) => Number.parseInt(text, 10) * SECONDS_OF[text.at(-1) as "s" | "m" | "h"])
  .refine((seconds) => seconds <= CONFIRM_SECONDS_MAX, "expected at most 24h")
  .transform((seconds) => seconds * 1_000);

/** As sshd has it in SSH_CONNECTION. */
const sshConnection = z
  .string()
  .regex(/^[0-9a-fA-F.:]{2,45}(%\w+)? \d{1,5} [0-9a-fA-F.:]{2,45}(%\w+)? \d{1,5}$/, {
    error: 'expected "ADDRESS PORT ADDRESS PORT"',
  })
  .transform((text) => {
    const [peer = "", peerPort, local = "", localPort] = text.split(" ");
    const bare = (address: string): string => address.replace(/%.*/, "").replace(/^::ffff:/i, "");
    return {
      ...{ peer: bare(peer), peerPort: Number(peerPort) },
      ...{ local: bare(local), localPort: Number(localPort) },
    };
  });

export const deleteQuery = waitQuery.extend({
  force: flag("Also when it cuts open connections into the node"),
  connection: sshConnection.optional().meta({
    description: "By which the caller came to the node, as SSH_CONNECTION has it",
  }),
});

export const applyQuery = deleteQuery.extend({
  "confirm-timeout": duration.optional().meta({
    description: "Undo it after so long (`60s`, `5m`, `1h`) unless it is confirmed",
  }),
});

export const validateQuery = z.object({
  forApply: flag("Refuse, as apply does, what is not enforced; otherwise it is a warning"),
});

export const policyParams = z.object({
  kind: z.string(),
  namespace: z.string().meta({ description: "`-` for a policy without one" }),
  name: z.string(),
});

const FLOWS_LAST_MAX = 0xffff_ffff;
const rfc3339 = z
  .string()
  .refine((value) => !Number.isNaN(Date.parse(value)), "expected an RFC 3339 time")
  .optional();

export const flowsQuery = z.object({
  last: z.coerce
    .number()
    .int()
    .min(0)
    .max(FLOWS_LAST_MAX)
    .optional()
    .meta({ description: "So many, the newest; 20 unless `follow` or `since` is given" }),
  follow: flag("Go on with new flows as they come"),
  since: rfc3339.meta({ description: "From this RFC 3339 time on" }),
  until: rfc3339.meta({ description: "Up to this RFC 3339 time" }),
});

export const stopQuery = z.object({ proxy: flag("Stop the proxy too; enforcement at L7 ends") });

export const upgradeRequest = z
  .object({
    drainSeconds: z
      .number()
      .min(0)
      .max(86_400)
      .default(600)
      .meta({ description: "How long the old proxy may serve open connections" }),
  })
  .strict()
  .meta({ id: "UpgradeRequest", examples: [{ drainSeconds: 600 }] });

const ISSUES_SHOWN_MAX = 8;

/** `path: message` of the first few issues of a failed validation. */
export function issuesText(error: z.ZodError): string {
  return error.issues
    .slice(0, ISSUES_SHOWN_MAX)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
    .join("; ");
}
