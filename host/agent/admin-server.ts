/** The HTTP API: on the unix socket always, over TCP with TLS when the options ask for it. */
import { rmSync } from "node:fs";
import type { Server } from "node:http";
import { type AdminParts, createAdminApp } from "../admin/app.ts";
import { Tokens } from "../admin/tokens.ts";
import { loadNative } from "../native/index.ts";
import type { Store } from "../store/store.ts";
import { AGENT_VERSION, type Base } from "./base.ts";
import { listenAdmin } from "./listen.ts";
import { listenAdminTls } from "./listen-tls.ts";

const CERTIFICATE_MS = 10_000;
const CLOSE_GRACE_MS = 200;

export async function serveAdmin(
  { options, log, life, certificate }: Base,
  store: Store,
  parts: Pick<AdminParts, "backend" | "audit" | "plugins">,
): Promise<void> {
  const nowMs = Date.now;
  const tokens = new Tokens(store, nowMs);
  const app = createAdminApp({ ...parts, log, tokens, nowMs, version: AGENT_VERSION });
  const { socket, tcpApi } = options;
  const native = loadNative();
  const onError = (error: Error): void => log.error({ error }, "the API lost a connection");
  const peerOf = (fd: number) => native.peerCredentials(fd);
  const local = await listenAdmin(app, socket, { peerOf, onError });
  life.onEnd(() => {
    closeServer(local);
    rmSync(socket, { force: true });
  });
  if (tcpApi === undefined || certificate === undefined) return;
  const server = await listenAdminTls(app, tcpApi, { certificate, onError });
  life.every(CERTIFICATE_MS, async () => certificate.look());
  life.onEnd(() => closeServer(server));
  log.info({ host: tcpApi.host, port: tcpApi.port }, "the API is served over TCP");
}

function closeServer(server: Pick<Server, "close" | "closeAllConnections">): void {
  server.close();
  // Answers under way may end; followed streams never would.
  setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS).unref();
}
