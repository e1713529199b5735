/** Certificates that openssl made, changed under a server that real connections use. */
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StillAgent } from "../admin/testing/still-agent.ts";
import { ApiCertificate, readTlsFiles } from "./api-certificate.ts";
import { listenAdminTls } from "./listen-tls.ts";
import { makeCertificate } from "./testing/certificate.ts";

const onError = (error: Error): never => {
  throw error;
};

let agent: StillAgent;
let certFile: string;
let keyFile: string;
let certificate: ApiCertificate;
let logged: string[];
let port: number;

beforeEach(async () => {
  agent = new StillAgent();
  const folder = join(agent.folder, "first");
  mkdirSync(folder);
  makeCertificate(folder, "first.example", "tls");
  // As kubelet lays a Secret out: renewing it renames the link that the paths lead through.
  symlinkSync("first", join(agent.folder, "current"));
  certFile = join(agent.folder, "current", "tls.crt");
  keyFile = join(agent.folder, "current", "tls.key");
  logged = [];
  const log = {
    info: (_: unknown, message: string) => void logged.push(message),
    error: (_: unknown, message: string) => void logged.push(message),
  };
  certificate = new ApiCertificate({ host: "", port: 0, certFile, keyFile }, log as never);
  const address = { host: "127.0.0.1", port: 0 };
  const server = agent.own(await listenAdminTls(agent.app, address, { certificate, onError }));
  port = (server.address() as AddressInfo).port;
});
afterEach(() => agent.close());

/** The folder that the paths lead through is another one, from one moment to the next. */
function renew(name: string): string {
  const folder = join(agent.folder, name);
  mkdirSync(folder);
  makeCertificate(folder, `${name}.example`, "tls");
  symlinkSync(name, join(agent.folder, "next"));
  renameSync(join(agent.folder, "next"), join(agent.folder, "current"));
  return folder;
}

async function dial(maxVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3"): Promise<TLSSocket> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, maxVersion });
  await once(socket, "secureConnect");
  return socket;
}

/** The name in the certificate that a new connection is shown. */
async function shown(): Promise<unknown> {
  const socket = await dial();
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return CN;
}

async function ask(socket: TLSSocket, host: string): Promise<string> {
  socket.write(`HEAD /v1/docs HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  const [answer] = (await once(socket, "data")) as [Buffer];
  return /^HTTP\/1\.1 (\d+)/.exec(String(answer))?.[1] ?? "";
}

/** On a connection of its own. */
async function askOnce(host: string): Promise<string> {
  const socket = await dial();
  const status = await ask(socket, host);
  socket.destroy();
  return status;
}

describe("a certificate that is renewed", () => {
  it("meets new connections, also by its name; old ones go on", async () => {
    const old = await dial();
    expect(await ask(old, "first.example")).toBe("200");
    renew("second");
    expect(await shown()).toBe("first.example");
    certificate.look();
    expect(await shown()).toBe("second.example");
    expect(await askOnce("second.example")).toBe("200");
    expect(await askOnce("first.example")).toBe("421");
    expect(await ask(old, "second.example")).toBe("200");
    expect(old.getPeerCertificate().subject.CN).toBe("first.example");
    old.destroy();
    expect([certificate.trouble, logged]).toEqual([undefined, ["the API has a new certificate"]]);
    await expect(dial("TLSv1.2")).rejects.toThrow(/protocol version/);
  });

  it("is not taken anew while nothing changes", async () => {
    const before = certificate.files;
    certificate.look();
    expect(certificate.files).toBe(before);
    expect(logged).toEqual([]);
  });

  it.each<[string, (folder: string) => void, RegExp]>([
    ["no PEM", (folder) => writeFileSync(join(folder, "tls.crt"), "garbage"), /is no PEM/],
    ["cut short", (folder) => truncateSync(join(folder, "tls.crt"), 100), /is no PEM/],
    ["gone", (folder) => renameSync(join(folder, "tls.key"), join(folder, "x")), /ENOENT/],
    ["open to everybody", (folder) => chmodSync(join(folder, "tls.key"), 0o644), /everybody may/],
    ["huge", (folder) => truncateSync(join(folder, "tls.crt"), 2 << 20), /at most 1048576/],
    [
      "of another key",
      (folder) => {
        const [, other] = makeCertificate(folder, "other.example");
        copyFileSync(other, join(folder, "tls.key"));
      },
      /is not the key of/,
    ],
  ])("and is %s: the old one stays, and it is said", async (_, spoil, message) => {
    const folder = renew("second");
    spoil(folder);
    certificate.look();
    certificate.look();
    expect(await shown()).toBe("first.example");
    expect(certificate.trouble).toMatch(message);
    expect(certificate.trouble).toMatch(/the certificate before it stays in use until .* GMT$/);
    expect(logged).toEqual(["the API's new certificate cannot be used"]);
    renew("third");
    certificate.look();
    expect([certificate.trouble, await shown()]).toEqual([undefined, "third.example"]);
  });
});

describe("readTlsFiles() refuses", () => {
  const withFiles = (cert: string, key: string) => () =>
    readTlsFiles({ host: "127.0.0.1", port: 1, certFile: cert, keyFile: key });

  it("a file that is not there", () => {
    const message = /^Cannot use the certificate of the API over TCP: cannot read/;
    expect(withFiles("/nope.crt", keyFile)).toThrow(message);
  });

  it("what is no file", () => {
    expect(withFiles(agent.folder, keyFile)).toThrow(/not a regular file/);
  });

  it("what is no certificate", () => {
    const file = join(agent.folder, "garbage");
    writeFileSync(file, "garbage");
    expect(withFiles(file, keyFile)).toThrow(/is no PEM/);
  });

  it("the key of another certificate", () => {
    const [, other] = makeCertificate(agent.folder, "other.example");
    expect(withFiles(certFile, other)).toThrow(/is not the key of/);
  });

  it("a key that everybody may read", () => {
    const open = join(agent.folder, "open.key");
    writeFileSync(open, readFileSync(keyFile), { mode: 0o644 });
    chmodSync(open, 0o644);
    expect(withFiles(certFile, open)).toThrow(/everybody may read the key/);
  });
});
