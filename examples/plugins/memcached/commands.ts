/**
 * The commands of memcached's text protocol, from the text of one line (protocol.txt of memcached):
 * what they are called, which keys they name, how many bytes follow, and what answers them.
 * Anything that is not exactly as documented is none: servers are more lenient, and what is read
 * differently here and there could hide a second command.
 */

/** What a server's answer looks like: one line, items up to END, or lines up to END. */
export type Answer = "line" | "items" | "lines" | "nothing";

export interface Key {
  text: string;
  /** Offset in the line. */
  at: number;
}

export interface Command {
  name: string;
  keys: Key[];
  /** Bytes of the data block behind the line, without its CR LF; absent: there is none. */
  dataBytes?: number;
  answer: Answer;
}

type Reader = (words: Key[]) => Omit<Command, "name"> | undefined;

/** Ends the connection, and asks for nothing: no policy denies it. */
export const QUIT = "quit";

/** Keys of one command at most: each is judged. */
const KEYS_MAX = 50;
const KEY = /^[\x21-\x7e]{1,250}$/;
const NUMBER = /^\d{1,20}$/;
const BYTES = /^\d{1,9}$/;
const TIME = /^-?\d{1,10}$/;
const STATS = /^(items|slabs|sizes|settings|conns)$/;

/** Takes `noreply` off the end: what is left, and what answers. */
function withReply(words: Key[]): { rest: Key[]; answer: Answer } {
  const last = words.at(-1);
  if (last?.text !== "noreply") return { rest: words, answer: "line" };
  return { rest: words.slice(0, -1), answer: "nothing" };
}

/** A command with a key and then exactly words like these. */
function keyed(...shapes: RegExp[]): Reader {
  return (words) => {
    const { rest, answer } = withReply(words);
    const [key, ...others] = rest;
    if (key === undefined || !KEY.test(key.text) || others.length !== shapes.length) {
      return undefined;
    }
    if (!shapes.every((shape, index) => shape.test(others[index]?.text ?? ""))) return undefined;
    return { keys: [key], answer };
  };
}

/** The same with a data block, whose length is the third word. */
function stored(...more: RegExp[]): Reader {
  const read = keyed(NUMBER, TIME, BYTES, ...more);
  return (words) => {
    const command = read(words);
    return command && { ...command, dataBytes: Number(words[3]?.text) };
  };
}

/** Keys and nothing else, behind `before` words of another kind. */
function retrieved(...before: RegExp[]): Reader {
  return (words) => {
    const keys = words.slice(before.length);
    const good =
      before.every((shape, index) => shape.test(words[index]?.text ?? "")) &&
      keys.length > 0 &&
      keys.length <= KEYS_MAX &&
      keys.every(({ text }) => KEY.test(text));
    return good ? { keys, answer: "items" } : undefined;
  };
}

/** No key: words that must look like these, as many as there are. */
function plain(answer: Answer, ...shapes: RegExp[]): Reader {
  return (words) => {
    const reply = withReply(words);
    const { rest } = answer === "line" ? reply : { rest: words };
    if (rest.length > shapes.length) return undefined;
    if (!rest.every(({ text }, index) => shapes[index]?.test(text))) return undefined;
    return { keys: [], answer: answer === "line" ? reply.answer : answer };
  };
}

const COMMANDS = new Map<string, Reader>([
  ...["get", "gets"].map((name) => [name, retrieved()] as const),
  ...["gat", "gats"].map((name) => [name, retrieved(TIME)] as const),
  ...["set", "add", "replace", "append", "prepend"].map((name) => [name, stored()] as const),
  ["cas", stored(NUMBER)],
  ["delete", keyed()],
  ["touch", keyed(TIME)],
  ...["incr", "decr"].map((name) => [name, keyed(NUMBER)] as const),
  ["flush_all", plain("line", TIME)],
  ["verbosity", plain("line", NUMBER)],
  ["version", plain("line")],
  ["stats", plain("lines", STATS)],
  [QUIT, plain("nothing")],
]);

/** Reads a line without its CR LF; undefined when it is no command known here. */
export function readCommand(line: string): Command | undefined {
  if (!/^[\x21-\x7e]+( [\x21-\x7e]+)*$/.test(line)) return undefined;
  const [first, ...words] = [...line.matchAll(/[^ ]+/g)].map(
    ({ 0: text, index }): Key => ({ text, at: index }),
  );
  const name = first?.text ?? "";
  const command = COMMANDS.get(name)?.(words);
  return command && { name, ...command };
}
