/**
 * Reads test vectors from Markdown: prose for people, and in code blocks marked `vector` what both
 * peers send and what must come of it. The heading before a block is its name.
 *
 *     stage [{"method": "GET"}]     one policy: its rules; no stage line, no policy
 *     > text    < text              bytes of the client, of upstream; each line ends in CR LF
 *     >. closed    <. failed        that side ends so
 *     ! [{…}] [{…}]                 the host sets these stages
 *     ^ text    v text              what upstream, what the client must receive
 *     ^ same                        exactly what the other side sent
 *     record …                      a record, as record-log.ts writes it
 *     close finished                why the plugin closes; no line, it does not
 *
 * In a text `\` at the end leaves CR LF out; \r \n \t \\ \xHH are bytes; {a*5} is aaaaa.
 */
import type { Step } from "./peer-pair.ts";

/** Rules of one stage, as a policy gives them. */
export type VectorRules = readonly Record<string, string>[];

/** A step whose stages are still rules. */
export type VectorStep =
  | Exclude<Step, { kind: "stages" }>
  | { kind: "stages"; rules: readonly VectorRules[] };

export interface Vector {
  name: string;
  stages: readonly VectorRules[];
  steps: readonly VectorStep[];
  upstream: string;
  client: string;
  records: readonly string[];
  close: string | undefined;
}

/** Every vector of a Markdown text. Throws on a line it does not know. */
export function readVectors(markdown: string): Vector[] {
  const vectors: Vector[] = [];
  let heading = "";
  let block: string[] | undefined;
  for (const line of markdown.split("\n")) {
    if (line.startsWith("#")) heading = line.replace(/^#+ */, "");
    else if (line === "```vector") block = [];
    else if (line === "```" && block !== undefined) {
      vectors.push(readBlock(heading, block));
      block = undefined;
    } else if (block !== undefined && line.trim() !== "") block.push(line);
  }
  return vectors;
}

interface Draft {
  stages: VectorRules[];
  steps: VectorStep[];
  upstream: string[];
  client: string[];
  records: string[];
  close: string | undefined;
}

function readBlock(name: string, lines: readonly string[]): Vector {
  const draft: Draft = {
    stages: [],
    steps: [],
    upstream: [],
    client: [],
    records: [],
    close: undefined,
  };
  for (const line of lines) {
    try {
      readLine(line, draft);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`Cannot read vector "${name}": ${line}: ${reason}`, { cause });
    }
  }
  return {
    name,
    stages: draft.stages,
    steps: draft.steps,
    upstream: expected(draft.upstream, draft.steps, "request"),
    client: expected(draft.client, draft.steps, "response"),
    records: draft.records,
    close: draft.close,
  };
}

function readLine(line: string, draft: Draft): void {
  const space = line.indexOf(" ");
  const word = space < 0 ? line : line.slice(0, space);
  const text = space < 0 ? "" : line.slice(space + 1);
  switch (word) {
    case "stage":
      draft.stages.push(JSON.parse(text));
      break;
    case ">":
    case "<":
      addBytes(draft.steps, word === ">" ? "request" : "response", decodeText(text));
      break;
    case ">.":
    case "<.": {
      const direction = word === ">." ? "request" : "response";
      draft.steps.push({ kind: "end", direction, how: text === "failed" ? "failed" : "closed" });
      break;
    }
    case "!":
      draft.steps.push({ kind: "stages", rules: JSON.parse(`[${text.replaceAll("] [", "],[")}]`) });
      break;
    case "^":
      draft.upstream.push(text);
      break;
    case "v":
      draft.client.push(text);
      break;
    case "record":
      draft.records.push(text);
      break;
    case "close":
      draft.close = text;
      break;
    default:
      throw new Error("no such line");
  }
}

function addBytes(steps: VectorStep[], kind: "request" | "response", text: string): void {
  const bytes = Buffer.from(text, "latin1");
  const last = steps.at(-1);
  if (last?.kind === kind) last.bytes = Buffer.concat([last.bytes, bytes]);
  else steps.push({ kind, bytes });
}

function expected(
  lines: readonly string[],
  steps: readonly VectorStep[],
  sent: "request" | "response",
): string {
  const same = () => steps.map((step) => (step.kind === sent ? latin1(step.bytes) : "")).join("");
  return lines.map((line) => (line === "same" ? same() : decodeText(line))).join("");
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function decodeText(line: string): string {
  const open = /(^|[^\\])(\\\\)*\\$/.test(line);
  const text = open ? line.slice(0, -1) : `${line}\\r\\n`;
  const repeated = text.replaceAll(/\{(.+?)\*(\d+)\}/g, (_all, unit: string, count: string) =>
    unit.repeat(Number(count)),
  );
  return repeated.replaceAll(/\\(x[0-9a-fA-F]{2}|.)/g, (_all, mark: string) => {
    if (mark.startsWith("x")) return String.fromCharCode(Number.parseInt(mark.slice(1), 16));
    return { r: "\r", n: "\n", t: "\t" }[mark] ?? mark;
  });
}
