/** One suite for both backends of the shared store, then what only etcd has: loss, pages, TLS. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { EtcdStore } from "./etcd/etcd-store.ts";
import {
  compareAndSwap,
  LeaseLostError,
  type SharedEvent,
  type SharedStore,
} from "./shared-store.ts";
import { SqliteSharedStore } from "./sqlite-shared.ts";
import { EtcdServer } from "./testing/etcd-server.ts";

const START_MS = 30_000;
const WAIT = { timeout: 5_000, interval: 20 };

interface Backend {
  /** Another client of the same data. */
  open(): SharedStore;
  /** Forgets the history up to now. */
  compact(store: SharedStore): Promise<void>;
  close(): Promise<void>;
}

async function sqliteBackend(): Promise<Backend> {
  const folder = mkdtempSync(join(tmpdir(), "imker-shared-"));
  return {
    open: () => new SqliteSharedStore(join(folder, "shared.db"), { historyRowsMax: 20 }),
    compact: async (store) => {
      for (let i = 0; i < 30; i++) await store.commit({ put: [{ key: "fill", value: String(i) }] });
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
}

async function etcdBackend(): Promise<Backend> {
  const server = await EtcdServer.start();
  return {
    open: () => new EtcdStore({ endpoints: [server.endpoint] }),
    compact: async (store) => server.compact((await store.list("none/")).revision),
    close: () => server.remove(),
  };
}

describe.each([
  ["sqlite", sqliteBackend],
  ["etcd", etcdBackend],
])("SharedStore in %s", (_name, create) => {
  let backend: Backend;
  let a: SharedStore;
  let b: SharedStore;
  let n = 0;
  /** A place of its own for each test: deleting all would be one more thing to trust. */
  let at: string;

  beforeAll(async () => {
    backend = await create();
    a = backend.open();
    b = backend.open();
  }, START_MS);
  afterAll(async () => {
    a.close();
    b.close();
    await backend.close();
  });
  beforeEach(() => {
    at = `t${n++}/`;
  });

  const keys = async (store: SharedStore): Promise<string[]> =>
    (await store.list(at)).rows.map(({ key }) => key.slice(at.length));

  it("commit() makes all of a change or nothing of it", async () => {
    const first = await a.commit({
      when: [{ key: `${at}x`, revision: 0 }, { noneBelow: `${at}below/` }],
      put: [
        { key: `${at}x`, value: "1" },
        { key: `${at}below/y`, value: "ü;=/" },
      ],
    });
    expect(first).toBeGreaterThan(0);
    expect(await b.get(`${at}below/y`)).toMatchObject({ value: "ü;=/", revision: first });
    const refused = await b.commit({
      when: [{ noneBelow: `${at}below/` }],
      put: [{ key: `${at}x`, value: "2" }],
      delete: [`${at}below/y`],
    });
    expect(refused).toBeUndefined();
    expect((await a.get(`${at}x`))?.value).toBe("1");
    expect(await a.commit({ delete: [`${at}x`, `${at}nothing`] })).toBeGreaterThan(first ?? 0);
    expect(await keys(b)).toEqual(["below/y"]);
  });

  it("compareAndSwap() writes only over the revision it was told", async () => {
    const made = await compareAndSwap(a, `${at}k`, 0, "1");
    expect(await compareAndSwap(b, `${at}k`, 0, "2")).toBeUndefined();
    expect(await compareAndSwap(b, `${at}k`, made ?? 0, "2")).toBeGreaterThan(made ?? 0);
    expect(await compareAndSwap(a, `${at}k`, made ?? 0, "3")).toBeUndefined();
    expect((await a.get(`${at}k`))?.value).toBe("2");
    expect(await a.get(`${at}none`)).toBeUndefined();
  });

  it("one of many writers at once creates a key", async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => compareAndSwap(i % 2 ? a : b, `${at}one`, 0, `${i}`)),
    );
    expect(all.filter((revision) => revision !== undefined)).toHaveLength(1);
  });

  it("list() returns exactly the rows below a prefix, by key", async () => {
    for (const key of ["p/b", "p/a", "p", "p0", "p/c/d"]) {
      await a.commit({ put: [{ key: at + key, value: "" }] });
    }
    const { rows, revision } = await b.list(`${at}p/`);
    expect(rows.map(({ key }) => key.slice(at.length))).toEqual(["p/a", "p/b", "p/c/d"]);
    expect(revision).toBeGreaterThanOrEqual(Math.max(...rows.map((row) => row.revision)));
  });

  it("watch() goes on after a revision, in order, and across clients", async () => {
    const { revision } = await a.list(at);
    await a.commit({ put: [{ key: `${at}w`, value: "1" }] });
    await a.commit({ put: [{ key: "elsewhere", value: "1" }] });
    const seen: SharedEvent[] = [];
    const ended = vi.fn();
    const stop = b.watch(at, revision, { changed: (events) => seen.push(...events), ended });
    await a.commit({ put: [{ key: `${at}w`, value: "2" }] });
    await a.commit({ delete: [`${at}w`] });
    await vi.waitFor(() => expect(seen.length).toBe(3), WAIT);
    expect(seen.map(({ value }) => value)).toEqual(["1", "2", undefined]);
    stop();
    await a.commit({ put: [{ key: `${at}w`, value: "3" }] });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(seen.length).toBe(3);
    expect(ended).not.toHaveBeenCalled();
  });

  it("watch() says so when what it should go on with is forgotten", async () => {
    const { revision } = await a.list(at);
    for (const value of ["1", "2", "3"]) await a.commit({ put: [{ key: `${at}w`, value }] });
    await backend.compact(a);
    const reason = await new Promise((ended) => {
      b.watch(at, revision, { changed: () => ended("changed"), ended });
    });
    expect(reason).toBe("compacted");
  });

  it("keys go with their lease, and not before", async () => {
    const lease = await a.grantLease(2);
    await a.commit({ put: [{ key: `${at}leased`, value: "1", lease }] });
    await a.commit({ put: [{ key: `${at}free`, value: "1" }] });
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 600));
      expect(await a.keepLeaseAlive(lease)).toBe(true);
    }
    expect(await keys(b)).toEqual(["free", "leased"]);
    const seen: SharedEvent[] = [];
    const { revision } = await b.list(at);
    b.watch(at, revision, { changed: (events) => seen.push(...events), ended: () => {} });
    await vi.waitFor(() => expect(seen).toMatchObject([{ key: `${at}leased`, value: undefined }]), {
      timeout: 10_000,
    });
    expect(await a.keepLeaseAlive(lease)).toBe(false);
    const late = a.commit({ put: [{ key: `${at}leased`, value: "2", lease }] });
    await expect(late).rejects.toThrow(LeaseLostError);
    expect(await keys(b)).toEqual(["free"]);
  }, 20_000);

  it("revokeLease() removes its keys at once; a key written without it stays", async () => {
    const lease = await a.grantLease(60);
    await a.commit({ put: [{ key: `${at}one`, value: "1", lease }] });
    await a.commit({ put: [{ key: `${at}two`, value: "1", lease }] });
    await a.commit({ put: [{ key: `${at}two`, value: "2" }] });
    await a.revokeLease(lease);
    expect(await keys(b)).toEqual(["two"]);
  });
});

describe("EtcdStore", () => {
  it(
    "says that etcd does not answer, and goes on when it does",
    async () => {
      const server = await EtcdServer.start();
      const store = new EtcdStore({ endpoints: ["http://127.0.0.1:1", server.endpoint] });
      await store.commit({ put: [{ key: "a", value: "1" }] });
      expect((await store.get("a"))?.value).toBe("1");
      const ended = new Promise((resolve) => {
        store.watch("a", 0, { changed: () => {}, ended: resolve });
      });
      await server.stop();
      expect(await ended).toBe("lost");
      await expect(store.get("a")).rejects.toThrow(/^etcd does not answer \(.*ECONNREFUSED/);
      await server.resume();
      expect((await store.get("a"))?.value).toBe("1");
      store.close();
      await server.remove();
    },
    START_MS,
  );

  it(
    "reads more rows than one answer holds, all of one moment",
    async () => {
      const server = await EtcdServer.start();
      const store = new EtcdStore({ endpoints: [server.endpoint] });
      for (let i = 0; i < 2_100; i += 100) {
        const put = Array.from({ length: 100 }, (_, j) => ({ key: `k/${i + j}`, value: "" }));
        await store.commit({ put });
      }
      expect((await store.list("k/")).rows).toHaveLength(2_100);
      store.close();
      await server.remove();
    },
    START_MS,
  );

  it(
    "asks with a client certificate, and as a user",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "imker-etcd-tls-"));
      const certificate = makeCertificates(folder);
      const server = await EtcdServer.start({
        scheme: "https",
        args: [
          ...["--cert-file", certificate.cert, "--key-file", certificate.key],
          ...["--trusted-ca-file", certificate.ca, "--client-cert-auth"],
        ],
      });
      const tls = {
        ca: readFileSync(certificate.ca, "utf8"),
        cert: readFileSync(certificate.cert, "utf8"),
        key: readFileSync(certificate.key, "utf8"),
      };
      const store = new EtcdStore({ endpoints: [server.endpoint], tls });
      expect(await store.commit({ put: [{ key: "a", value: "1" }] })).toBeGreaterThan(0);
      const stranger = new EtcdStore({ endpoints: [server.endpoint], tls: { ca: tls.ca } });
      await expect(stranger.get("a")).rejects.toThrow("etcd does not answer");
      store.close();
      stranger.close();
      await server.remove();
      rmSync(folder, { recursive: true });
    },
    START_MS,
  );

  it(
    "asks as a user with a password",
    async () => {
      const server = await EtcdServer.start();
      for (const words of ["user add root:secret", "user grant-role root root", "auth enable"]) {
        if (words.startsWith("user grant")) server.ctl("role", "add", "root");
        server.ctl(...words.split(" "));
      }
      const endpoints = [server.endpoint];
      const user = new EtcdStore({ endpoints, auth: { user: "root", password: "secret" } });
      expect(await user.commit({ put: [{ key: "a", value: "1" }] })).toBeGreaterThan(0);
      const wrong = new EtcdStore({ endpoints, auth: { user: "root", password: "wrong" } });
      await expect(wrong.get("a")).rejects.toThrow(/authentication failed/);
      const nobody = new EtcdStore({ endpoints });
      await expect(nobody.get("a")).rejects.toThrow(/user name is empty/);
      for (const store of [user, wrong, nobody]) store.close();
      await server.remove();
    },
    START_MS,
  );
});

function makeCertificates(folder: string): { ca: string; cert: string; key: string } {
  const files = {
    ca: join(folder, "ca.pem"),
    cert: join(folder, "c.pem"),
    key: join(folder, "k.pem"),
  };
  const openssl = (...args: string[]): unknown =>
    execFileSync("openssl", args, { stdio: "ignore" });
  const caKey = join(folder, "ca-key.pem");
  const request = join(folder, "request.pem");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...curve, "-subj", "/CN=ca", "-keyout", caKey, "-out", files.ca);
  const san = "subjectAltName=IP:127.0.0.1";
  openssl(
    "req",
    ...curve,
    "-subj",
    "/CN=agent",
    "-addext",
    san,
    "-keyout",
    files.key,
    "-out",
    request,
  );
  openssl(
    ...["x509", "-req", "-in", request, "-CA", files.ca, "-CAkey", caKey, "-CAcreateserial"],
    ...["-copy_extensions", "copy", "-out", files.cert],
  );
  return files;
}
