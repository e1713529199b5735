/**
 * The example plugin for PostgreSQL with Debian's server and psql, between namespaces, through the
 * real agent: what is allowed, what is denied and how the client sees it, and the flows.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Endpoint } from "../host/endpoint/types.ts";
import { PluginRig } from "./plugin-rig.ts";

const BUILD_MS = 240_000;

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: db, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: db } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: shop } }]
      toPorts:
        - ports: [{ port: "5432", protocol: TCP }]
          rules:
            l7proto: postgres
            l7:
              - { user: shop, statement: SELECT, table: "orders|" }
              - { user: shop, statement: INSERT|COPY, table: orders }
              - { user: shop, statement: BEGIN|COMMIT|ROLLBACK|EXECUTE }
`;

/** A server of its own, owned by the user \`postgres\`, in a namespace. */
class Server {
  readonly #folder = mkdtempSync(join(tmpdir(), "imker-pg-"));
  readonly #bin: string;

  constructor() {
    const base = "/usr/lib/postgresql";
    const version =
      readdirSync(base)
        .sort((a, b) => Number(a) - Number(b))
        .at(-1) ?? "";
    this.#bin = join(base, version, "bin");
  }

  start(netns: string): void {
    chmodSync(this.#folder, 0o755);
    execFileSync("chown", ["postgres", this.#folder]);
    const data = join(this.#folder, "data");
    this.#asOwner("", ["initdb", "-D", data, "-A", "trust", "-N", "-E", "UTF8"]);
    execFileSync("sh", ["-c", `echo "host all all all trust" >> ${data}/pg_hba.conf`]);
    const options = `-c listen_addresses=* -c unix_socket_directories=${this.#folder} -c fsync=off`;
    const log = join(this.#folder, "log");
    this.#asOwner(netns, [
      "pg_ctl",
      "-w",
      "-t",
      "30",
      "-D",
      data,
      "-l",
      log,
      "-o",
      options,
      "start",
    ]);
    this.sql(`create user shop; create user eve; create table orders (id int);
      create table secrets (id int); insert into orders values (1);
      grant all on orders, secrets to shop, eve`);
  }

  /** As the owner, by the socket: past every policy. */
  sql(text: string): string {
    const args = ["-h", this.#folder, "-U", "postgres", "-d", "postgres", "-Atqc", text];
    return execFileSync("psql", args, { encoding: "utf8", timeout: 20_000 }).trim();
  }

  tool(name: string): string {
    return join(this.#bin, name);
  }

  /** A file with this text. */
  script(text: string): string {
    const file = join(this.#folder, "script.sql");
    writeFileSync(file, text);
    return file;
  }

  stop(): void {
    const pidFile = join(this.#folder, "data/postmaster.pid");
    try {
      const pid = Number(readFileSync(pidFile, "utf8").split("\n")[0]);
      spawnSync("kill", ["-QUIT", String(pid)]);
      for (let i = 0; i < 100 && spawnSync("kill", ["-0", String(pid)]).status === 0; i++) {
        spawnSync("sleep", ["0.05"]);
      }
    } finally {
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }

  #asOwner(netns: string, [tool = "", ...args]: string[]): void {
    const command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"];
    const inside = netns === "" ? [] : ["nsenter", `--net=${netns}`];
    const [first = "", ...rest] = [...inside, ...command, join(this.#bin, tool), ...args];
    execFileSync(first, rest, { stdio: "ignore", timeout: 40_000, cwd: "/" });
  }
}

describe("the postgres plugin with a real server", () => {
  const server = new Server();
  let node: PluginRig;
  let db: Endpoint;
  let shop: Endpoint;

  beforeAll(async () => {
    node = await PluginRig.start("postgres");
    db = await node.rig.pod("db");
    shop = await node.rig.pod("shop");
    server.start(db.netns);
    expect(await node.rig.apply(POLICY)).toMatchObject({ errors: [], warnings: [] });
  }, BUILD_MS);
  afterAll(async () => {
    server.stop();
    await node?.close();
  });

  /** What psql prints, errors too: one connection, each text a message of its own. */
  async function psql(texts: string[], user = "shop"): Promise<string> {
    const url = `postgresql://${user}@${db.ipv4}/postgres?connect_timeout=5`;
    const commands = texts.flatMap((text) => ["-c", text]);
    return inShop(["psql", "-XAtq", "-v", "VERBOSITY=verbose", ...commands, url]);
  }

  /** What a command prints, errors in their place. */
  async function inShop(command: string[]): Promise<string> {
    return node.ask(shop, ["sh", "-c", 'exec "$@" 2>&1', "sh", ...command]);
  }

  it("lets pass what the rules allow", async () => {
    const insert = "insert into orders values (2)";
    expect(await psql(["begin", insert, "select count(*) from orders", "commit"])).toBe("2\n");
    expect(await psql(["select 1"])).toBe("1\n");
    expect(await psql(["copy (select id from orders order by id) to stdout"])).toMatch(/42501/);
    expect(await psql(["copy orders to stdout"])).toBe("1\n2\n");
  });

  it("denies the rest as the server would, and the connection goes on", async () => {
    const seen = await psql(["select * from secrets", "delete from orders", "select 7"]);
    expect(seen).toMatch(/^ERROR: {2}42501: statement denied by policy\n/);
    expect(seen.match(/42501/g)?.length).toBe(2);
    expect(seen).toMatch(/\n7\n$/);
    expect(server.sql("select count(*) from orders")).toBe("2");
  });

  it("a denied statement fails its transaction", async () => {
    const insert = "insert into orders values (3)";
    const seen = await psql(["begin", insert, "truncate orders", "select 1", "commit"]);
    expect(seen).toMatch(/42501[\s\S]*25P02/);
    expect(server.sql("select count(*) from orders")).toBe("2");
  });

  it("speaks the extended protocol, as pgbench does", async () => {
    const bench = (text: string): Promise<string> => {
      const script = server.script(text);
      const args = ["-n", "-M", "prepared", "-t", "3", "-h", db.ipv4, "-U", "shop", "-f", script];
      return inShop([server.tool("pgbench"), ...args, "postgres"]);
    };
    expect(await bench("select count(*) from orders;")).toMatch(/actually processed: 3\/3/);
    expect(await bench("delete from orders;")).toMatch(/statement denied by policy/);
    expect(server.sql("select count(*) from orders")).toBe("2");
  });

  it("says what it could not read", async () => {
    expect(await psql(["explode", "select 1"])).toMatch(/not all of it can be read\n[\s\S]*1\n$/);
  });

  it("does not let a user of no rule in", async () => {
    expect(await psql(["select 1"], "eve")).toMatch(/FATAL: {2}user or database denied by policy/);
  });

  it("reports", async () => {
    const seen = await node.flows();
    const about = (fields: Record<string, string>) =>
      seen.filter((flow) => {
        const entries = Object.entries(fields);
        return entries.every(([name, value]) => flow.extensions?.fields?.[name] === value);
      });
    const [denied] = about({ statement: "SELECT", table: "secrets", user: "shop" });
    expect(denied).toMatchObject({
      verdict: "DROPPED",
      extensions: { name: "postgres", version: "0.1.0", fields: { database: "postgres" } },
    });
    const [allowed] = about({ statement: "INSERT", table: "orders", user: "shop" });
    expect(allowed).toMatchObject({ verdict: "FORWARDED" });
  });
});
