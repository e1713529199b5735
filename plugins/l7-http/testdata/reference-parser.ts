/**
 * A second, much simpler reader of HTTP/1.1 requests, for the fuzz test: whole strings, no state,
 * nothing shared with the plugin. It reads what upstream received the way a strict server would.
 */

export interface ReferenceRequest {
  method: string;
  target: string;
  host: string | undefined;
}

/** Every complete request head in the bytes; throws when a strict server would refuse one. */
export function readRequests(bytes: string): ReferenceRequest[] {
  const requests: ReferenceRequest[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) throw new Error(`a head without end: ${JSON.stringify(rest.slice(0, 80))}`);
    const [requestLine = "", ...lines] = rest.slice(0, end).split("\r\n");
    const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP\/1\.([01])$/.exec(requestLine);
    if (parts === null) throw new Error(`a bad request line: ${JSON.stringify(requestLine)}`);
    const fields = lines.map(readField);
    const values = (name: string) =>
      fields.filter((field) => field.name === name).map((field) => field.value);
    requests.push({ method: parts[1] ?? "", target: parts[2] ?? "", host: values("host")[0] });
    if (values("host").length > 1) throw new Error("two Hosts");
    rest = skipBody(rest.slice(end + 4), values("content-length"), values("transfer-encoding"));
  }
  return requests;
}

function readField(line: string): { name: string; value: string } {
  const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)$/s.exec(line);
  if (parts === null || hasControl(line))
    throw new Error(`a bad field line: ${JSON.stringify(line)}`);
  return { name: (parts[1] ?? "").toLowerCase(), value: (parts[2] ?? "").trim() };
}

function skipBody(rest: string, lengths: readonly string[], codings: readonly string[]): string {
  if (codings.length > 0) {
    if (lengths.length > 0) throw new Error("both lengths");
    if (codings.length > 1 || codings[0]?.toLowerCase() !== "chunked") throw new Error("coding");
    return skipChunks(rest);
  }
  const [length, ...others] = lengths;
  if (length === undefined) return rest;
  if (!/^\d+$/.test(length) || others.some((other) => Number(other) !== Number(length))) {
    throw new Error(`bad lengths: ${lengths}`);
  }
  return rest.slice(Number(length));
}

/** A body may be incomplete: the client may have stopped in it. */
function skipChunks(bytes: string): string {
  let rest = bytes;
  while (rest !== "") {
    const line = /^([0-9A-Fa-f]+)(;[^\r]*)?\r\n/.exec(rest);
    if (line === null || hasControl(line[2] ?? ""))
      throw new Error(`a bad chunk: ${JSON.stringify(rest.slice(0, 40))}`);
    const size = Number.parseInt(line[1] ?? "", 16);
    rest = rest.slice(line[0].length);
    if (size === 0) return skipTrailer(rest);
    const end = rest.slice(size, size + 2);
    if (end !== "\r\n" && rest.length > size) throw new Error("a chunk without end");
    rest = rest.slice(size + 2);
  }
  return rest;
}

function skipTrailer(bytes: string): string {
  let rest = bytes;
  while (rest !== "" && !rest.startsWith("\r\n")) {
    const end = rest.indexOf("\r\n");
    if (end < 0) throw new Error("a trailer without end");
    readField(rest.slice(0, end));
    rest = rest.slice(end + 2);
  }
  return rest.slice(2);
}

function hasControl(text: string): boolean {
  return Buffer.from(text, "latin1").some((byte) => (byte < 32 && byte !== 9) || byte === 127);
}
