/**
 * Shapes of the admin API's answers. They document; host/admin/types.ts types the agent's side, and
 * the compiler holds the two together where a route answers.
 */
import { z } from "zod";

const time = z.iso.datetime().meta({ description: "RFC 3339" });
const bytes = z.int().meta({ description: "Bytes" });

const feature = z
  .object({
    name: z.string(),
    available: z.boolean(),
    detail: z.string().meta({ description: "When not available: what is missing, how to get it" }),
  })
  .meta({ id: "Feature" });

const hello = {
  protocol: z.int(),
  build: z.string(),
  runtime: z.enum(["node", "deno"]),
  runtimeVersion: z.string(),
  pid: z.int(),
  workers: z.int(),
  revision: z.int().meta({ description: "Of the state it confirmed last" }),
};

export const proxyHello = z
  .object({ ...hello, startedAt: z.int().meta({ description: "Milliseconds since 1970" }) })
  .meta({ id: "ProxyHello", description: "What a proxy says of itself" });

const versionStatus = z
  .object({
    digest: z.string(),
    unavailable: z
      .object({ stage: z.enum(["read", "verify", "compile", "start"]), message: z.string() })
      .optional()
      .meta({ description: "Why it cannot serve" }),
    connections: z.int(),
    instances: z.int(),
    memoryBytes: z.int(),
    calls: z.int(),
    bytes: z.int(),
    fuel: z.number(),
    faults: z.int(),
  })
  .meta({ id: "VersionStatus", description: "A plugin version in the proxy" });

const trialDifference = z
  .object({
    time: z.number().meta({ description: "Milliseconds since 1970" }),
    connection: z.int(),
    ruleSets: z.array(z.int()),
    direction: z.enum(["request", "response"]),
    offset: z.int().meta({ description: "Bytes from the direction's start" }),
    what: z.enum(["operation", "length", "bytes", "verdict", "record", "close"]),
    active: z.string(),
    tried: z.string(),
  })
  .meta({ id: "TrialDifference" });

const trialStatus = z
  .object({
    id: z.string(),
    stopped: z.enum(["faults", "differences", "fuel", "latency"]).optional(),
    connections: z.int(),
    compared: z.int(),
    skipped: z.record(z.string(), z.int()),
    differences: z.int(),
    faults: z.int(),
    fuelActive: z.number(),
    fuelTried: z.number(),
    callMicros: z.number(),
    samples: z.array(trialDifference),
    lastFault: z.string(),
  })
  .meta({ id: "TrialStatus", description: "A shadow or canary in the proxy" });

const ctCounts = z.object({
  ipv4Tcp: z.int(),
  ipv4Other: z.int(),
  ipv6Tcp: z.int(),
  ipv6Other: z.int(),
});

export const ctStatus = z
  .object({
    capacity: z.int().meta({ description: "When full, the least recently used entry goes" }),
    alive: ctCounts.meta({ description: "As the last pass found it" }),
    deleted: ctCounts.meta({ description: "Expired ones, since the agent has started" }),
    passes: z.int(),
    lastPassMs: z.number(),
    intervalSeconds: z.number().meta({ description: "Until the next pass" }),
  })
  .meta({ id: "ConntrackStatus", description: "The kernel's map of connections" });

export const agentStatus = z
  .object({
    agent: z.object({
      version: z.string(),
      pid: z.int(),
      startedAt: time,
      node: z.string(),
      policyRevision: z.int().meta({ description: "Wanted" }),
      enforcedRevision: z.int().meta({ description: "In force in kernel and proxy" }),
      endpoints: z.int(),
      policies: z.int(),
      policyOverflows: z.int().meta({ description: "Endpoints whose policies do not fit" }),
      rss: bytes,
    }),
    proxy: z
      .object({
        ...hello,
        startedAt: time,
        connections: z.int(),
        instances: z.int(),
        rss: bytes,
        counters: z.record(z.string(), z.number()),
        versions: z.array(versionStatus),
        trials: z.array(trialStatus),
      })
      .optional()
      .meta({ description: "Absent when no proxy answers" }),
    features: z.array(feature),
    conntrack: ctStatus,
    degraded: z
      .array(z.string())
      .meta({ description: "What does not work as it should; empty when all is well" }),
  })
  .meta({ id: "AgentStatus" });

export const identityView = z
  .object({
    id: z.int(),
    kind: z
      .enum([
        "reserved",
        "well-known",
        "user-reserved",
        "cluster",
        "local",
        "remote-node",
        "unknown",
      ])
      .meta({ description: "Who gave the number: `local` and `remote-node` are this node's own" }),
    labels: z.array(z.string()),
    endpoints: z.int().meta({ description: "Local endpoints that have it" }),
  })
  .meta({ id: "Identity" });

export const endpointView = z
  .object({
    id: z.int(),
    name: z.string(),
    namespace: z.string(),
    identity: z.int(),
    labels: z.array(z.string()).meta({ description: "`source:key=value`, sorted" }),
    ipv4: z.string(),
    ipv6: z.string(),
    netns: z.string(),
    state: z.enum(["waiting", "ready", "policy-overflow", "disconnected"]).meta({
      description:
        "`waiting`: everything is dropped; `policy-overflow`: its policies do not fit into its " +
        "map; `disconnected`: its interface or its network namespace is gone",
    }),
    trouble: z.string().optional().meta({ description: "Why it is disconnected, and what to do" }),
    policyRevision: z.int().meta({ description: "That the kernel enforces; 0 before the first" }),
    policyAuditMode: z.boolean().meta({ description: "What L3/L4 policy denies passes" }),
  })
  .meta({ id: "Endpoint" });

export const appliedPolicy = z
  .object({ kind: z.string(), namespace: z.string(), name: z.string(), revision: z.int() })
  .meta({ id: "AppliedPolicy" });

const policyFileError = z
  .object({
    file: z.string(),
    document: z.int().meta({ description: "In the file, from 0" }),
    path: z.string(),
    message: z.string(),
    expected: z.string(),
    line: z.int().optional(),
    column: z.int().optional(),
  })
  .meta({ id: "PolicyFileError" });

export const applyResult = z
  .object({
    applied: z.array(appliedPolicy),
    errors: z.array(policyFileError),
    warnings: z.array(policyFileError).meta({
      description: "Accepted, but not in force as written: a plugin that is not installed",
    }),
    confirmBy: time.optional().meta({ description: "Undone then unless it is confirmed" }),
  })
  .meta({
    id: "ApplyResult",
    description: "In an answer 422 these are members of the problem document",
  });

export const cutConnections = z
  .object({
    cuts: z.array(
      z.object({
        peer: z.string(),
        peerPort: z.int(),
        local: z.string().meta({ description: "The node's own address" }),
        localPort: z.int(),
        isCallers: z.boolean().meta({ description: "The one the caller came by, as he says" }),
        reason: z.string().meta({ description: "Which policies are the reason" }),
      }),
    ),
  })
  .meta({ id: "CutConnections", description: "Members of the problem document" });

export const policyView = z
  .object({
    kind: z.string(),
    namespace: z.string(),
    name: z.string(),
    revision: z.int(),
    source: z.string().meta({ description: "`api`, or the file it came from" }),
    object: z.unknown().meta({ description: "The object as it was given" }),
    conditions: z
      .array(z.object({ type: z.string(), plugin: z.string().optional(), message: z.string() }))
      .meta({ description: "What keeps it from being in force as written" }),
  })
  .meta({ id: "Policy" });

export const policyMapEntry = z
  .object({
    identity: z.int(),
    direction: z.enum(["ingress", "egress"]),
    protocol: z.int(),
    port: z.int(),
    portPrefix: z.int(),
    precedence: z.int(),
    deny: z.boolean(),
    redirect: z.boolean(),
    ruleSet: z.int(),
    cookie: z.int(),
    packets: z.int().optional(),
    allowedBy: z.array(z.string()).meta({ description: "Names of the policies behind it" }),
  })
  .meta({ id: "PolicyMapEntry" });

export const ctRow = z
  .object({
    source: z.string(),
    destination: z.string(),
    sourcePort: z.int(),
    destinationPort: z.int(),
    protocol: z.int(),
    expiresInSeconds: z.number(),
    proxied: z.boolean(),
    seenReply: z.boolean(),
    closing: z.boolean(),
    sourceIdentity: z.int(),
    destinationIdentity: z.int(),
    packets: z.tuple([z.number(), z.number()]),
    bytes: z.tuple([z.number(), z.number()]),
  })
  .meta({ id: "Connection", description: "A connection that the kernel tracks" });

export const ipcacheRow = z
  .object({ prefix: z.string(), identity: z.int() })
  .meta({ id: "IpcacheRow" });

export const flowLine = z
  .looseObject({
    flow: z.looseObject({}).optional().meta({ description: "flow.Flow of Hubble's protobuf" }),
    node_name: z.string().optional(),
    time: z.string().optional(),
  })
  .meta({
    id: "GetFlowsResponse",
    description:
      "observer.GetFlowsResponse of Hubble's protobuf API, as protojson with proto field names",
  });
