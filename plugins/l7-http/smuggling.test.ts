/**
 * Messages that two parsers could read differently. A request like that gets 400 and nothing of it
 * reaches upstream; a response like that is not forwarded, the client gets 502.
 */
import { describe, expect, test } from "vitest";
import { builtImage, instantiateImage } from "../../runtime/testkit/built-plugin.ts";
import { instantiateNative } from "../../runtime/testkit/native.ts";
import { readManifest, VectorRunner } from "../../runtime/testkit/run-vector.ts";
import { createPlugin } from "./plugin.ts";

const FOLDER = import.meta.dirname;
const manifest = readManifest(FOLDER);
const image = await builtImage(FOLDER);
const RUNNERS = [
  new VectorRunner(manifest, (imports) => instantiateNative(createPlugin, imports)),
  new VectorRunner(manifest, (imports) => instantiateImage(image, imports)),
];
const HEAD = "POST / HTTP/1.1\r\nHost: a\r\n";

const REQUESTS: Record<string, string> = {
  "both lengths": `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "both lengths, the other order": `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n`,
  "differing lengths": `${HEAD}Content-Length: 4\r\nContent-Length: 5\r\n\r\n`,
  "a list of lengths": `${HEAD}Content-Length: 4, 4\r\n\r\n`,
  "a negative length": `${HEAD}Content-Length: -1\r\n\r\n`,
  "a length with a plus": `${HEAD}Content-Length: +1\r\n\r\n`,
  "a hexadecimal length": `${HEAD}Content-Length: 0x4\r\n\r\n`,
  "a length beyond 2^53": `${HEAD}Content-Length: 99999999999999999999\r\n\r\n`,
  "an empty length": `${HEAD}Content-Length:\r\n\r\n`,
  "another coding": `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n`,
  "chunked not last": `${HEAD}Transfer-Encoding: chunked, identity\r\n\r\n`,
  "chunked twice": `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  "almost chunked": `${HEAD}Transfer-Encoding: xchunked\r\n\r\n`,
  "chunked with a control character": `${HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n`,
  "chunked in HTTP/1.0": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
  "obs-fold": `${HEAD}X: a\r\n b\r\n\r\n`,
  "a fold at the first field": "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
  "space before the colon": `${HEAD}Content-Length : 4\r\n\r\n`,
  "tab before the colon": `${HEAD}Content-Length\t: 4\r\n\r\n`,
  "no colon": `${HEAD}Content-Length\r\n\r\n`,
  "an empty name": `${HEAD}: x\r\n\r\n`,
  "bare LF behind a field": `${HEAD}X: a\nY: b\r\n\r\n`,
  "bare LF at the end": `${HEAD}\n`,
  "bare LF behind the request line": "GET / HTTP/1.1\nHost: a\r\n\r\n",
  "bare CR in a value": `${HEAD}X: a\rb\r\n\r\n`,
  "bare CR before CR LF": `${HEAD}X: a\r\r\n\r\n`,
  "NUL in a value": `${HEAD}X: a\0b\r\n\r\n`,
  "NUL in a name": `${HEAD}X\0: b\r\n\r\n`,
  "no Host": "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
  "two Hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
  "a Host with a path": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
  "a Host with user information": "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
  "a Host with a space": "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
  "a target and a Host that differ": "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
  "a target with user information": "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target of another scheme": "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target without authority": "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
  "a relative target": "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
  "a star but not OPTIONS": "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
  "a fragment": "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
  "a backslash": "GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n",
  "a byte above ASCII": "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
  "a control character in the target": "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
  "two spaces": "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
  "two spaces before the version": "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
  "a tab for a space": "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "a space behind the version": "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
  "a space before the method": " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "a method that is no token": "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
  "HTTP/0.9": "GET /\r\n",
  "HTTP/1.2": "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
  "HTTP/2.0": "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
  "http in lower case": "GET / http/1.1\r\nHost: a\r\n\r\n",
  "CONNECT with a body": "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\nhello",
  "CONNECT to a path": "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
  "two Upgrade fields": `${HEAD}Upgrade: h2c\r\nUpgrade: h2c\r\n\r\n`,
  "129 fields": `${HEAD}${"X: y\r\n".repeat(128)}\r\n`,
  "a head above 64 KiB": `${HEAD}X: ${"y".repeat(66_000)}\r\n\r\n`,
  "a request line above 64 KiB": `GET /${"y".repeat(66_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
};

const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
const BODIES: Record<string, string> = {
  "no size": "\r\nabc\r\n",
  "a size that is no number": "x\r\n",
  "0x before a size": "0x3\r\nabc\r\n0\r\n\r\n",
  "a space behind the size": "3 \r\nabc\r\n0\r\n\r\n",
  "a space before the size": " 3\r\nabc\r\n0\r\n\r\n",
  "a negative size": "-3\r\nabc\r\n",
  "a size of 14 digits": "00000000000003\r\nabc\r\n0\r\n\r\n",
  "bare LF behind the size": "3\nabc\r\n0\r\n\r\n",
  "bare CR in an extension": "3;a\rb\r\nabc\r\n0\r\n\r\n",
  "an extension without end": `3;${"a".repeat(2000)}\r\nabc\r\n0\r\n\r\n`,
  "data longer than the size": "3\r\nabcd\r\n0\r\n\r\n",
  "data shorter than the size": "4\r\nabc\r\n0\r\n\r\n",
  "bare LF behind the data": "3\r\nabc\n0\r\n\r\n",
  "a Content-Length in the trailer": "0\r\nContent-Length: 3\r\n\r\n",
  "a Transfer-Encoding in the trailer": "0\r\nTransfer-Encoding: chunked\r\n\r\n",
  "a Host in the trailer": "0\r\nHost: b\r\n\r\n",
  "a folded trailer": "0\r\nA: b\r\n c\r\n\r\n",
};

const RESPONSES: Record<string, string> = {
  "both lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
  "differing lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
  "another coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
  "a status of two digits": "HTTP/1.1 20 OK\r\n\r\n",
  "a status of four digits": "HTTP/1.1 2000 OK\r\n\r\n",
  "status 600": "HTTP/1.1 600 x\r\n\r\n",
  "status 099": "HTTP/1.1 099 x\r\n\r\n",
  "bare LF": "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
  "obs-fold": "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
  "space before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
  "another version": "HTTP/2 200\r\n\r\n",
};

const request = (text: string) => ({
  kind: "request" as const,
  bytes: Buffer.from(text, "latin1"),
});
const response = (text: string) => ({
  kind: "response" as const,
  bytes: Buffer.from(text, "latin1"),
});
const PIECES = [1, 7, 1_000_000];

describe("a request with", () => {
  test.each(Object.entries(REQUESTS))("%s gets 400", (_name, text) => {
    for (const runner of RUNNERS) {
      const pieces = text.length > 10_000 ? [4096, 1_000_000] : PIECES;
      const outcomes = pieces.map((piece) => {
        const steps = [request(`${text}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n`)];
        return runner.run({ stages: [[{}]], steps }, piece);
      });
      for (const outcome of outcomes) {
        expect(outcome).toEqual(outcomes[0]);
        expect(outcome.upstream).toBe("");
        expect(outcome.client).toMatch(/^HTTP\/1\.1 400 Bad request\r\n/);
        expect(outcome.close).toBe("malformed");
      }
    }
  });
});

test("a control character anywhere in a value gets 400, every other byte passes", () => {
  for (const runner of RUNNERS) {
    for (let byte = 0; byte < 256; byte++) {
      // Every place in a word of eight bytes, and the tail behind the words.
      for (let place = 0; place < 11; place++) {
        const here = String.fromCharCode(byte);
        const value = `${"\x80".repeat(place)}${here}${"~".repeat(10 - place)}`;
        const text = `GET / HTTP/1.1\r\nHost: a\r\nX:${value}\r\n\r\n`;
        const outcome = runner.run({ stages: [], steps: [request(text)] }, 1_000_000);
        const bad = (byte < 32 && byte !== 9) || byte === 127;
        expect(outcome.upstream, JSON.stringify(value)).toBe(bad ? "" : text);
      }
    }
  }
});

describe("a chunked body with", () => {
  test.each(Object.entries(BODIES))("%s gets 400", (_name, text) => {
    for (const runner of RUNNERS) {
      for (const stages of [[[{}]], [[]]]) {
        const outcomes = PIECES.map((piece) =>
          runner.run(
            { stages, steps: [request(CHUNKED + text), request("GET / HTTP/1.1\r\n")] },
            piece,
          ),
        );
        for (const outcome of outcomes) {
          expect(outcome).toEqual(outcomes[0]);
          expect(outcome.close).toBe("malformed");
          expect(outcome.upstream).not.toContain("GET");
          const status = stages[0]?.length === 0 ? 403 : 400;
          expect(outcome.client).toContain(`HTTP/1.1 ${status}`);
        }
      }
    }
  });
});

describe("a response with", () => {
  test.each(Object.entries(RESPONSES))("%s becomes 502", (_name, text) => {
    for (const runner of RUNNERS) {
      for (const piece of PIECES) {
        const steps = [request("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), response(text)];
        const outcome = runner.run({ stages: [], steps }, piece);
        expect(outcome.client).toMatch(/^HTTP\/1\.1 502 Bad gateway\r\n/);
        expect(outcome.close).toBe("malformed");
      }
    }
  });
});
