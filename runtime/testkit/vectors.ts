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
 *
 * Vectors travel in packages, and a proxy reads them before it knows the plugin: what they may grow
 * to is bounded, and reading takes time in proportion to that.
 */
import type { Step } from "./peer-pair.ts";

/** Bytes that all texts of a file may come to, with what repeats and `same` stand for. */
const TEXT_BYTES_MAX = 16 << 20;

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

/** Every vector of a Markdown text. Throws on a line it does not know, or one that is too long. */
export function readVectors(markdown: string): Vector[] {
  const vectors: Vector[] = [];
  const room = new Room();
  let heading = "";
  let block: string[] | undefined;
  for (const line of markdown.split("\n")) {
    if (line.startsWith("#")) heading = line.replace(/^#+ */, "");
    else if (line === "```vector") block = [];
    else if (line === "```" && block !== undefined) {
      vectors.push(readBlock(heading, block, room));
      block = undefined;
    } else if (block !== undefined && line.trim() !== "") block.push(line);
  }
  return vectors;
}

/** Characters of a wrong line that are shown. */
const LINE_SHOWN_MAX = 200;

/** What texts may still grow by. */
class Room {
  #left = TEXT_BYTES_MAX;

  take(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) throw new Error(`more than ${TEXT_BYTES_MAX >> 20} MiB of text in all`);
  }
}

/** Bytes of one side that follow each other, joined when the block ends. */
interface Pieces {
  kind: "request" | "response";
  pieces: Buffer[];
}

interface Draft {
  room: Room;
  stages: VectorRules[];
  steps: (Exclude<VectorStep, { bytes: Uint8Array }> | Pieces)[];
  upstream: string[];
  client: string[];
  records: string[];
  close: string | undefined;
}

function readBlock(name: string, lines: readonly string[], room: Room): Vector {
  const draft: Draft = {
    room,
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
      const start = line.length > LINE_SHOWN_MAX ? `${line.slice(0, LINE_SHOWN_MAX)}…` : line;
      throw new Error(`Cannot read vector "${name}": ${start}: ${reason}`, { cause });
    }
  }
  const steps = draft.steps.map(
    (step): VectorStep =>
      "pieces" in step ? { kind: step.kind, bytes: Buffer.concat(step.pieces) } : step,
  );
  return {
    name,
    stages: draft.stages,
    steps,
    upstream: expected(draft.upstream, steps, "request", room),
    client: expected(draft.client, steps, "response", room),
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
      addBytes(draft.steps, word === ">" ? "request" : "response", decodeText(text, draft.room));
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

function addBytes(steps: Draft["steps"], kind: "request" | "response", text: string): void {
  const bytes = Buffer.from(text, "latin1");
  const last = steps.at(-1);
  if (last !== undefined && "pieces" in last && last.kind === kind) last.pieces.push(bytes);
  else steps.push({ kind, pieces: [bytes] });
}

function expected(
  lines: readonly string[],
  steps: readonly VectorStep[],
  sent: "request" | "response",
  room: Room,
): string {
  const same = (): string => {
    const texts = steps.map((step) => (step.kind === sent ? latin1(step.bytes) : ""));
    room.take(texts.reduce((sum, text) => sum + text.length + 1, 0));
    return texts.join("");
  };
  return lines.map((line) => (line === "same" ? same() : decodeText(line, room))).join("");
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function decodeText(line: string, room: Room): string {
  let textEnd = line.length;
  while (line[textEnd - 1] === "\\") textEnd--;
  const open = (line.length - textEnd) % 2 === 1;
  const text = open ? line.slice(0, -1) : `${line}\\r\\n`;
  room.take(text.length);
  const repeated = text.replaceAll(
    /\{([^{}]{1,256}?)\*(\d{1,9})\}/g,
    (_all, unit: string, count: string) => {
      room.take(unit.length * Number(count));
      return unit.repeat(Number(count));
    },
  );
  return repeated.replaceAll(/\\(x[0-9a-fA-F]{2}|.)/g, (_all, mark: string) => {
    if (mark.startsWith("x")) return String.fromCharCode(Number.parseInt(mark.slice(1), 16));
    return { r: "\r", n: "\n", t: "\t" }[mark] ?? mark;
  });
}
