/**
 * The certificate of the admin API over TCP, and its key: read from their files, and read again
 * when what stands in them changes, as certificates end and whoever renews them only writes files.
 * Looks at the content and by the clock, because renewals rename files, or the folders above them.
 * What cannot be served is not taken: the pair before it stays in use, and `trouble` says why.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { Logger } from "pino";
import type { TcpApiOptions } from "../options.ts";
import { EnvironmentError } from "./environment.ts";

/** Of a certificate with its chain, or of a key. */
const FILE_BYTES_MAX = 1 << 20;

export interface TlsFiles {
  cert: Buffer;
  key: Buffer;
}

export class ApiCertificate {
  readonly #options: TcpApiOptions;
  readonly #log: Pick<Logger, "info" | "error">;
  #files: TlsFiles;
  #certificate: X509Certificate;
  #onChange: (files: TlsFiles) => void = () => {};
  #trouble: string | undefined;

  /** @throws EnvironmentError as `readTlsFiles` does. */
  constructor(options: TcpApiOptions, log: Pick<Logger, "info" | "error">) {
    this.#options = options;
    this.#log = log;
    this.#files = readTlsFiles(options);
    this.#certificate = new X509Certificate(this.#files.cert);
  }

  /** The pair in use. */
  get files(): TlsFiles {
    return this.#files;
  }

  /** Of the certificate in use. */
  get x509(): X509Certificate {
    return this.#certificate;
  }

  /** Why what stands in the files now is not in use; undefined when it is. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Told of every new pair before it counts as in use; what it throws keeps the old one. */
  onChange(listener: (files: TlsFiles) => void): void {
    this.#onChange = listener;
  }

  /** Takes what stands in the files now, if it is new and can be served. Never throws. */
  look(): void {
    let trouble: string | undefined;
    try {
      const files = readTlsFiles(this.#options);
      if (!isSame(files, this.#files)) this.#take(files);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      trouble = `${reason}; the certificate before it stays in use until ${this.#certificate.validTo}`;
      if (trouble !== this.#trouble) {
        this.#log.error({ error }, "the API's new certificate cannot be used");
      }
    }
    this.#trouble = trouble;
  }

  #take(files: TlsFiles): void {
    const certificate = new X509Certificate(files.cert);
    this.#onChange(files);
    this.#files = files;
    this.#certificate = certificate;
    const { subject, validTo } = certificate;
    this.#log.info({ subject, validTo }, "the API has a new certificate");
  }
}

/** @throws EnvironmentError when they are missing, do not match, or others may read the key. */
export function readTlsFiles({ certFile, keyFile }: TcpApiOptions): TlsFiles {
  const files = { cert: readPem(certFile), key: readPem(keyFile) };
  if ((statSync(keyFile).mode & 0o007) !== 0) {
    throw unable(`everybody may read the key ${keyFile}; chmod it to 600`);
  }
  let matches: boolean;
  try {
    matches = new X509Certificate(files.cert).checkPrivateKey(createPrivateKey(files.key));
  } catch (cause) {
    throw unable(`${certFile} or ${keyFile} is no PEM: ${(cause as Error).message}`, cause);
  }
  if (!matches) throw unable(`${keyFile} is not the key of ${certFile}`);
  return files;
}

function readPem(file: string): Buffer {
  let why: string;
  try {
    const stat = statSync(file);
    if (stat.isFile() && stat.size <= FILE_BYTES_MAX) return readFileSync(file);
    why = stat.isFile() ? `${stat.size} bytes, at most ${FILE_BYTES_MAX}` : "not a regular file";
  } catch (cause) {
    throw unable(`cannot read ${file}: ${(cause as Error).message}`, cause);
  }
  throw unable(`cannot read ${file}: ${why}`);
}

function isSame(a: TlsFiles, b: TlsFiles): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key);
}

function unable(state: string, cause?: unknown): EnvironmentError {
  return new EnvironmentError(`Cannot use the certificate of the API over TCP: ${state}`, {
    cause,
  });
}
