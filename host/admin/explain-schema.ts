/** Shapes of the routes that explain policies: what is asked, and what is answered. */
import { z } from "zod";
import { applyResult } from "./view-schema.ts";

const TEXT_CHARACTERS_MAX = 4_096;
const FILES_MAX = 1_024;
const DELETES_MAX = 1_024;
const PORTS_MAX = 64;

const files = z
  .array(z.object({ file: z.string(), text: z.string().max(16 << 20) }).strict())
  .max(FILES_MAX)
  .default([])
  .meta({ description: "Policy files that come on top of what is in force" });
const deletes = z
  .array(z.object({ kind: z.string(), namespace: z.string(), name: z.string() }).strict())
  .max(DELETES_MAX)
  .default([])
  .meta({ description: "Policies to leave out; `namespace` is empty for those without one" });

const end = z
  .string()
  .min(1)
  .max(TEXT_CHARACTERS_MAX)
  .meta({
    description:
      "An endpoint (`namespace/name`, name or id), `identity:NUMBER`, an address, or labels such as " +
      "`ns:shop,app=web` or `reserved:world`; with labels it need not exist",
  });

export const traceRequest = z
  .object({
    source: end,
    destination: end,
    ports: z
      .array(z.string().max(TEXT_CHARACTERS_MAX))
      .min(1)
      .max(PORTS_MAX)
      .meta({ description: "Such as `80/TCP`, `http` or `EchoRequest/ICMP`" }),
    ...{ files, deletes },
  })
  .strict()
  .meta({
    id: "TraceRequest",
    examples: [{ source: "shop/front", destination: "shop/web", ports: ["8080/TCP"] }],
  });

export const diffRequest = z
  .object({ files, deletes })
  .strict()
  .meta({
    id: "PolicyChange",
    examples: [{ files: [{ file: "web.yaml", text: "apiVersion: cilium.io/v2\nkind: …" }] }],
  });

/** What was wrong with the files, beside the problem itself. */
export const refusedChange = applyResult.pick({ errors: true, warnings: true });

const warnings = applyResult.shape.warnings;
const direction = z.enum(["ingress", "egress"]);
const tier = z.enum(["admin", "normal", "baseline"]);
const l7 = z
  .object({
    plugin: z.string(),
    version: z.string().optional(),
    mode: z.string(),
    failure: z.string(),
    rules: z.array(z.string()).meta({ description: "One is enough; `*` lets everything through" }),
  })
  .meta({ id: "TracedL7Rules" });

const endView = z
  .object({
    name: z.string(),
    kind: z.enum(["pod", "node", "outside"]),
    endpoint: z.int().optional(),
    identity: z.int().optional().meta({ description: "Absent: nothing has these labels now" }),
    labels: z.array(z.string()),
  })
  .meta({ id: "TraceEnd" });

const mapEntry = z
  .object({
    identity: z
      .int()
      .optional()
      .meta({ description: "0 any peer; absent: the peer's, which has no number yet" }),
    ...{ protocol: z.int(), port: z.int(), portPrefix: z.int() },
    precedence: z.int(),
    action: z.enum(["allow", "deny", "redirect", "default-deny"]),
    policies: z.array(z.string()),
  })
  .meta({ id: "TracedMapEntry" });

const ruleView = z
  .object({
    policy: z.string(),
    closes: z.boolean().meta({ description: "It turns default deny on" }),
    items: z.array(
      z.object({
        ...{ verdict: z.enum(["allow", "deny", "pass", "watch"]), tier, priority: z.number() },
        peers: z.array(z.string()),
        ports: z.array(z.string()).meta({ description: "Empty: every protocol and port" }),
        ...{ matchesPeer: z.boolean(), matchesPort: z.boolean(), decides: z.boolean() },
        l7: l7.optional(),
      }),
    ),
  })
  .meta({ id: "TracedRule" });

const directionView = z
  .object({
    direction,
    subject: z.string().meta({ description: "Whose policies decide" }),
    verdict: z.enum(["allow", "redirect", "deny", "drop", "no-plugin", "error"]).meta({
      description: "`drop` is default deny (133), `deny` an explicit one (181), `no-plugin` 222",
    }),
    reason: z.string(),
    isEnforced: z.boolean(),
    isAudited: z.literal(true).optional().meta({ description: "Audit mode lets it pass" }),
    rules: z.array(ruleView),
    setAside: z
      .array(z.string())
      .optional()
      .meta({ description: "Not asked, since a NetworkPolicy isolates the pod; absent: none" }),
    steps: z.array(
      z.object({
        tier: z.enum(["admin", "normal", "baseline", "default"]),
        priority: z.number(),
        verdict: z.enum(["allow", "deny", "pass"]),
        policies: z.array(z.string()),
      }),
    ),
    decidedBy: z.array(z.string()),
    match: z.string(),
    l7: l7.optional(),
    entry: mapEntry.optional().meta({ description: "Of the policy map, as the policies have it" }),
    installed: z
      .object({ entry: mapEntry.optional() })
      .optional()
      .meta({ description: "What the kernel's map has" }),
    fault: z.string().optional().meta({ description: "The kernel decides otherwise" }),
  })
  .meta({ id: "TracedDirection" });

const traced = z.enum(["allowed", "denied", "error"]);

export const traceView = z
  .object({
    ...{ source: endView, destination: endView },
    ports: z.array(
      z.object({
        ...{ port: z.string(), verdict: traced },
        ...{ egress: directionView, ingress: directionView },
      }),
    ),
    verdict: traced,
    warnings,
  })
  .meta({ id: "Trace" });

const effect = z
  .object({
    verdict: z.enum(["allow", "redirect", "deny", "drop"]),
    policies: z.array(z.string()),
    l7: l7.optional(),
  })
  .meta({ id: "PolicyEffect" });
const change = z.enum(["allowed", "denied", "l7"]).meta({
  description: "`l7`: handed over with other rules, or now and not before",
});
const enforced = z.object({ ingress: z.boolean(), egress: z.boolean() });

export const diffView = z
  .object({
    flows: z.array(
      z.object({
        ...{ change, direction, source: z.string(), destination: z.string(), port: z.string() },
        count: z.int(),
        lastSeen: z.string().meta({ description: "RFC 3339" }),
        ...{ before: effect, after: effect },
      }),
    ),
    flowsSeen: z.int(),
    endpoints: z.array(
      z.object({
        ...{ endpoint: z.int(), name: z.string() },
        ...{ entriesBefore: z.int().optional(), entriesAfter: z.int().optional() },
        ...{ isEnforcedBefore: enforced, isEnforcedAfter: enforced },
        changes: z.array(
          z.object({
            ...{ change, direction, peers: z.array(z.string()), peersCount: z.int() },
            ...{ ports: z.array(z.string()), before: effect, after: effect },
          }),
        ),
        changesLeftOut: z.int(),
        trouble: z.string().optional(),
      }),
    ),
    endpointsCount: z.int(),
    isDifferent: z.boolean(),
    warnings,
  })
  .meta({ id: "PolicyDiff" });

const directionPolicies = z.object({
  isEnforced: z
    .boolean()
    .optional()
    .meta({ description: "What no rule allows is denied; absent: the policies contradict" }),
  policies: z.array(z.string()),
});

export const endpointPolicy = z
  .object({
    revision: z.int().meta({ description: "Of the policies; the endpoint's own may lag behind" }),
    ...{ ingress: directionPolicies, egress: directionPolicies },
    entriesWanted: z.int().optional(),
    entriesInstalled: z.int().meta({ description: "In the kernel's map" }),
    trouble: z.string().optional(),
  })
  .meta({ id: "EndpointPolicy" });
