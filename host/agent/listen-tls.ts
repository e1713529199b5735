/**
 * Serves the admin API on TCP, with TLS only. Callers are strangers until their token says
 * otherwise, so what one of them can hold is bounded: connections, time for a handshake, for
 * headers, for a body, and for reading an answer.
 */
import type { X509Certificate } from "node:crypto";
import { createServer, type Server } from "node:https";
import { isIP } from "node:net";
import { createAdaptorServer, type HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import type { Admin } from "../admin/access.ts";
import type { ApiCertificate, TlsFiles } from "./api-certificate.ts";
import { EnvironmentError } from "./environment.ts";
import { HTTP_LIMITS, type ListenDeps, started } from "./listen.ts";

/** One more is closed at once. */
const CONNECTIONS_MAX = 64;
const HANDSHAKE_MS = 10_000;

export interface TcpLimits {
  headersTimeout: number;
  requestTimeout: number;
  connectionsCheckingInterval: number;
  keepAliveTimeout: number;
  /** Without a byte either way, unless a token was good. */
  strangerSilence: number;
}

const TCP_LIMITS: TcpLimits = { ...HTTP_LIMITS, strangerSilence: 30_000 };

export interface TlsListenDeps extends ListenDeps {
  certificate: ApiCertificate;
  /** Milliseconds; default `TCP_LIMITS`. */
  limits?: TcpLimits;
}

/** Connections that are open keep the certificate they began with; new ones meet the newest. */
export async function listenAdminTls(
  app: Hono<Admin>,
  { host, port }: { host: string; port: number },
  { certificate, onError, limits = TCP_LIMITS }: TlsListenDeps,
): Promise<Server> {
  const isOurName = namesOf(() => certificate.x509, host);
  const server = createAdaptorServer({
    createServer,
    serverOptions: {
      ...HTTP_LIMITS,
      ...limits,
      ...secured(certificate.files),
      handshakeTimeout: Math.min(HANDSHAKE_MS, limits.headersTimeout),
    },
    fetch: (request, env) => {
      const { socket } = (env as HttpBindings).incoming;
      // Holds for this request; Node sets the server's timeout again before the next.
      const admit = (): void => void socket.setTimeout(0);
      const address = socket.remoteAddress ?? "";
      return app.fetch(request, { ...env, caller: { kind: "tcp", address, isOurName, admit } });
    },
  }) as Server;
  server.maxConnections = CONNECTIONS_MAX;
  server.timeout = limits.strangerSilence;
  try {
    await started(server, { host, port }, onError);
  } catch (cause) {
    const what = `Cannot serve the API over TCP: cannot listen on ${host}:${port}`;
    throw new EnvironmentError(`${what}: ${(cause as Error).message}`, { cause });
  }
  certificate.onChange((files) => server.setSecureContext(secured(files)));
  return server;
}

/** What every context is made with: one made anew knows nothing of the one before. */
function secured(files: TlsFiles) {
  return { ...files, minVersion: "TLSv1.3" as const };
}

/**
 * A browser that was led here by a name of somebody else's sends that name. Ours are what the
 * certificate says, the address we listen on, and the loopback.
 */
function namesOf(certificate: () => X509Certificate, host: string): (header: string) => boolean {
  const always = new Set([host, "localhost", "127.0.0.1", "::1"]);
  return (header) => {
    const name = header
      .replace(/:\d+$/, "")
      .replace(/^\[(.*)\]$/, "$1")
      .toLowerCase();
    if (always.has(name)) return true;
    const found = isIP(name) ? certificate().checkIP(name) : certificate().checkHost(name);
    return found !== undefined;
  };
}
