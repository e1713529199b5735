/**
 * Shapes of the plugin and key resources of the admin API: what requests must look like, and what
 * answers look like. Times are RFC 3339; digests and key ids are `sha256:<hex>`.
 */
import { z } from "zod";
import { manifestSchema } from "../../runtime/contract/manifest.ts";

/** `drainTimeout` and windows, in seconds. */
const SECONDS_MAX = 86_400;

export const pluginName = manifestSchema.shape.name;
export const pluginVersion = manifestSchema.shape.version;
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const time = z.iso.datetime();
const capability = manifestSchema.shape.capabilities.element;

const CAPABILITIES = capability.options.join("|");

export const grantQuery = z.object({
  grant: z
    .string()
    .regex(new RegExp(`^((${CAPABILITIES})(,|$))*$`), `expected some of ${CAPABILITIES}`)
    .transform((text) => text.split(",").filter((part) => part !== ""))
    .pipe(z.array(capability).max(8))
    .optional()
    .meta({ description: "What the version may import, such as `emit,log`; default all" }),
});

export const pluginParams = z.object({ name: z.string() });
export const versionParams = z.object({ name: z.string(), version: z.string() });
export const trialParams = z.object({ name: z.string(), id: z.string() });
export const keyParams = z.object({ name: z.string() });

const LOG_LAST_DEFAULT = 100;
const LOG_LAST_MAX = 1000;

export const logsQuery = z.object({
  last: z.coerce.number().int().min(0).max(LOG_LAST_MAX).default(LOG_LAST_DEFAULT),
  follow: z
    .enum(["true", "false"])
    .default("false")
    .transform((value) => value === "true")
    .meta({ description: "Go on with new lines as they come" }),
});

const keyName = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/, "expected a name: a-z, 0-9, '-' and '.'");
const namePattern = z
  .string()
  .max(64)
  .regex(/^[a-z0-9.-]*\*?$/, "expected a plugin name, or the beginning of names and '*': acme-*")
  .min(1);

export const keyRequest = z
  .object({
    name: keyName,
    /** Of an ed25519 key. */
    publicKey: z.string().max(4096).describe("SubjectPublicKeyInfo, PEM"),
    plugins: z.array(namePattern).min(1).max(64),
    notBefore: z.iso.datetime({ offset: true }).optional(),
    notAfter: z.iso.datetime({ offset: true }).optional(),
  })
  .strict()
  .meta({
    id: "KeyRequest",
    examples: [
      {
        name: "acme",
        publicKey: "-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----\n",
        plugins: ["acme-*"],
        notAfter: "2027-12-31T00:00:00Z",
      },
    ],
  });

export const keyView = z
  .object({
    name: z.string(),
    id: digest,
    publicKey: z.string(),
    plugins: z.array(z.string()),
    addedAt: time,
    notBefore: time.optional(),
    notAfter: time.optional(),
    revokedAt: time.optional(),
    state: z.enum(["valid", "not-yet-valid", "no-longer-valid", "revoked"]),
  })
  .meta({ id: "Key" });

const seconds = z.number().min(0).max(SECONDS_MAX);

const activationOptions = {
  /** Connections of the version that serves now may last so long; then each is closed. */
  drainSeconds: seconds.default(600),
  /** So long after it serves, faults of the new version roll it back by themselves. */
  watchSeconds: seconds.default(60),
  watchFaults: z.number().int().min(1).max(1_000_000).default(3),
};

export const activationRequest = z
  .object({ version: pluginVersion, allowDowngrade: z.boolean().default(false) })
  .extend(activationOptions)
  .strict()
  .meta({ id: "ActivationRequest", examples: [{ version: "1.1.0", drainSeconds: 600 }] });

export const promoteRequest = z
  .object(activationOptions)
  .strict()
  .meta({ id: "PromoteRequest", examples: [{ drainSeconds: 600, watchSeconds: 60 }] });
export const rollbackRequest = z
  .object({ drainSeconds: seconds.default(600) })
  .strict()
  .meta({ id: "RollbackRequest", examples: [{ drainSeconds: 0 }] });

const count = z.number().int().min(1).max(1_000_000_000);

export const stopOnSchema = z
  .object({
    faults: count.default(1),
    /** Connections on which the two versions went apart. */
    differences: count.default(16),
    /** Fuel of the tried version over that of the active one on the same bytes; 0: not judged. */
    fuelRatio: z.number().min(0).max(1000).default(4),
    /** Mean of a call, microseconds; 0: not judged. */
    callMicros: z.number().min(0).max(1_000_000).default(0),
  })
  .strict();

export const trialRequest = z
  .object({
    kind: z.enum(["shadow", "canary"]),
    version: pluginVersion,
    /** Of new connections. */
    percent: z.number().min(0).max(100).default(100),
    /** `NAMESPACE/NAME`, or `NAME` of one without a namespace; empty: all that use the plugin. */
    policies: z.array(z.string().min(1).max(512)).max(256).default([]),
    stopOn: stopOnSchema.prefault({}),
    allowDowngrade: z.boolean().default(false),
  })
  .strict()
  .meta({
    id: "TrialRequest",
    examples: [{ kind: "canary", version: "1.1.0", percent: 10, policies: ["shop/web"] }],
  });

const versionName = z.object({ version: z.string(), digest });

export const versionView = z
  .object({
    name: z.string(),
    version: z.string(),
    digest,
    /** Bytes of the package. */
    size: z.number().int(),
    description: z.string(),
    status: z.enum(["alpha", "beta", "stable"]),
    securityPosture: z.string(),
    contract: z.string(),
    capabilities: z.array(z.string()),
    granted: z.array(z.string()),
    /** Budget of a call (fuel: base + perByte × bytes given) and memory of an instance. */
    limits: manifestSchema.shape.limits,
    signedBy: z.object({ name: z.string(), id: digest }),
    uploadedAt: time,
    /** What it is used for; empty: it is only installed. */
    uses: z.array(z.string()),
    /** What an operator should look at: `key-revoked`, `key-expired`, `untrusted`, `damaged`. */
    flags: z.array(z.string()),
  })
  .meta({ id: "PluginVersion" });

export const historyView = z.object({
  time,
  step: z.enum(["shipped", "activate", "promote", "rollback", "automatic-rollback"]),
  version: z.string(),
  digest,
  reason: z.string().optional(),
});

export const activationView = z
  .object({
    name: z.string(),
    active: versionName.nullable(),
    lastKnownGood: versionName.nullable(),
    draining: z.array(versionName.extend({ until: time })),
    /** Until when faults roll the active version back. */
    watchedUntil: time.nullable(),
    /** The newest last. */
    history: z.array(historyView),
  })
  .meta({ id: "Activation" });

export const trialView = z
  .object({
    id: z.string(),
    plugin: z.string(),
    kind: z.enum(["shadow", "canary"]),
    version: z.string(),
    digest,
    against: digest,
    percent: z.number(),
    policies: z.array(z.string()),
    stopOn: stopOnSchema,
    state: z.enum(["running", "promoted", "aborted", "rolled-back"]),
    startedAt: time,
    endedAt: time.optional(),
    reason: z.string().optional(),
    /** As the proxy counts; null before it has. */
    result: z
      .object({
        connections: z.number(),
        compared: z.number(),
        skipped: z.record(z.string(), z.number()),
        differences: z.number(),
        faults: z.number(),
        fuelActive: z.number(),
        fuelTried: z.number(),
        callMicros: z.number(),
        lastFault: z.string(),
        samples: z.array(
          z.object({
            time,
            connection: z.number(),
            ruleSets: z.array(z.number()),
            direction: z.enum(["request", "response"]),
            offset: z.number(),
            what: z.enum(["operation", "length", "bytes", "verdict", "record", "close"]),
            active: z.string(),
            tried: z.string(),
          }),
        ),
      })
      .nullable(),
  })
  .meta({ id: "Trial" });

export const pluginView = z
  .object({
    name: z.string(),
    active: versionName.nullable(),
    lastKnownGood: versionName.nullable(),
    /** Id of the trial that runs. */
    trial: z.string().nullable(),
    /** The highest first. */
    versions: z.array(versionView),
  })
  .meta({ id: "Plugin" });

export const instanceView = z
  .object({
    worker: z.number(),
    plugin: z.string(),
    version: z.string(),
    digest,
    tenant: z.string(),
    connections: z.number(),
    memoryBytes: z.number(),
    fuel: z.number(),
    calls: z.number(),
    ageMs: z.number(),
    idleMs: z.number(),
  })
  .meta({ id: "PluginInstance" });

export const logLine = z
  .object({
    time,
    plugin: z.string(),
    version: z.string(),
    digest,
    level: z.enum(["debug", "info", "warn", "error"]),
    message: z.string(),
  })
  .meta({ id: "PluginLogLine" });

export type KeyRequest = z.output<typeof keyRequest>;
export type KeyView = z.output<typeof keyView>;
export type ActivationRequest = z.output<typeof activationRequest>;
export type PromoteRequest = z.output<typeof promoteRequest>;
export type TrialRequest = z.output<typeof trialRequest>;
export type VersionView = z.output<typeof versionView>;
export type ActivationView = z.output<typeof activationView>;
export type TrialView = z.output<typeof trialView>;
export type PluginView = z.output<typeof pluginView>;
export type InstanceView = z.output<typeof instanceView>;
export type LogLineView = z.output<typeof logLine>;
export type GrantedCapability = z.output<typeof capability>;
