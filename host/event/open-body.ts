/**
 * The JSON bodies of the record stream, checked by hand: a connection may live for one request, so
 * this runs as often as records do, and a schema library costs ten times as much here.
 */
import type {
  CloseBody,
  FaultBody,
  LogBody,
  LostBody,
  OpenBody,
} from "../../runtime/contract/records.ts";

const STAGES_MAX = 2;
const PORT_MAX = 65_535;
const U32_MAX = 0xffff_ffff;
const CLOSE_REASONS: ReadonlySet<string> = new Set<CloseBody["reason"]>([
  "finished",
  "denied",
  "malformed",
  "reset",
  "unreachable",
  "policy",
  "fault",
  "drained",
  "retired",
  "no_plugin",
]);
const LEVELS: ReadonlySet<string> = new Set<LogBody["level"]>(["debug", "info", "warn", "error"]);

/** Undefined when the text is not what `OpenBody` says. */
export function parseOpenBody(text: string): OpenBody | undefined {
  const body = parseObject(text);
  if (body === undefined) return undefined;
  const { source, destination, sourcePort, destinationPort } = body;
  const { sourceIdentity, destinationIdentity, stages } = body;
  if (typeof source !== "string" || typeof destination !== "string") return undefined;
  if (!isCount(sourcePort, PORT_MAX) || !isCount(destinationPort, PORT_MAX)) return undefined;
  if (!isCount(sourceIdentity, U32_MAX) || !isCount(destinationIdentity, U32_MAX)) return undefined;
  if (!Array.isArray(stages) || stages.length > STAGES_MAX || !stages.every(isStage)) {
    return undefined;
  }
  const plugin = parsePlugin(body.plugin);
  if (plugin === undefined) return undefined;
  return {
    source,
    destination,
    sourcePort,
    destinationPort,
    sourceIdentity,
    destinationIdentity,
    stages,
    plugin,
  };
}

export function parseCloseBody(text: string): CloseBody | undefined {
  const reason = parseObject(text)?.reason;
  return isCloseReason(reason) ? { reason } : undefined;
}

export function parseFaultBody(text: string): FaultBody | undefined {
  const body = parseObject(text);
  const plugin = parsePlugin(body?.plugin);
  const message = body?.message;
  const connections = body?.connections;
  if (plugin === undefined || typeof message !== "string" || !isCount(connections, U32_MAX)) {
    return undefined;
  }
  return { plugin, message, connections };
}

export function parseLogBody(text: string): LogBody | undefined {
  const body = parseObject(text);
  const plugin = parsePlugin(body?.plugin);
  const message = body?.message;
  const level = body?.level;
  if (plugin === undefined || typeof message !== "string" || !isLevel(level)) return undefined;
  return { plugin, level, message };
}

export function parseLostBody(text: string): LostBody | undefined {
  const frames = parseObject(text)?.frames;
  return isCount(frames, Number.MAX_SAFE_INTEGER) ? { frames } : undefined;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function parsePlugin(value: unknown): OpenBody["plugin"] | undefined {
  if (!isObject(value)) return undefined;
  const { name, version, digest } = value;
  if (typeof name !== "string" || typeof version !== "string" || typeof digest !== "string") {
    return undefined;
  }
  return { name, version, digest };
}

function isStage(value: unknown): value is OpenBody["stages"][number] {
  if (!isObject(value)) return false;
  if (value.point !== "egress" && value.point !== "ingress") return false;
  return (
    isCount(value.endpoint, U32_MAX) &&
    isCount(value.ruleSet, U32_MAX) &&
    isCount(value.cookie, U32_MAX)
  );
}

function isLevel(value: unknown): value is LogBody["level"] {
  return typeof value === "string" && LEVELS.has(value);
}

function isCloseReason(value: unknown): value is CloseBody["reason"] {
  return typeof value === "string" && CLOSE_REASONS.has(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}
