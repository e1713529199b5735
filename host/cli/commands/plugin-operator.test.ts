import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  BUILD_MS,
  type PluginNode,
  packageOf,
  pluginNode,
  proxyStatus,
} from "../../plugin/testing/fixture.ts";
import { type Served, servePlugins } from "../../plugin/testing/serve.ts";
import { createContext } from "../context.ts";
import { EXIT } from "../errors.ts";
import { runCli } from "../main.ts";

let node: PluginNode;
let served: Served;
let folder: string;

beforeAll(async () => {
  node = pluginNode();
  served = await servePlugins(node);
  folder = mkdtempSync(join(tmpdir(), "imker-cli-"));
  for (const version of ["1.0.0", "1.1.0"]) {
    writeFileSync(join(folder, `${version}.wasm`), await packageOf({ name: "shop-pay", version }));
  }
}, BUILD_MS);

afterAll(() => {
  served.close();
  node.remove();
  rmSync(folder, { recursive: true });
});

interface Outcome {
  code: number;
  out: string;
  err: string;
}

async function imker(...args: string[]): Promise<Outcome> {
  const outcome = { code: 0, out: "", err: "" };
  const context = createContext({
    out: (text) => {
      outcome.out += text;
    },
    err: (text) => {
      outcome.err += text;
    },
    socket: served.socket,
  });
  outcome.code = await runCli(
    args.map((arg) => arg.replace("DIR/", `${folder}/`)),
    context,
  );
  return outcome;
}

/** In this order: later ones find what earlier ones made. */
const COMMANDS: readonly (readonly [string, RegExp, unknown?])[] = [
  ["key generate shop -o DIR/keys", /^key {8}sha256:[0-9a-f]{64}\nprivate .*shop\.pem\n/],
  ["key trust shop DIR/keys/shop.pub.pem --plugin shop-*", /shop \(valid\)/],
  ["key list", /^NAME {5}STATE.*\n(.*\n)*shop +valid +shop-\* +- +sha256:/],
  ["plugin sign DIR/1.0.0.wasm --key DIR/keys/shop.pem", /shop-pay 1\.0\.0 signed by sha256:/],
  ["plugin sign DIR/1.1.0.wasm --key DIR/keys/shop.pem -o DIR/new.wasm", /new\.wasm: shop-pay/],
  ["plugin install DIR/1.0.0.wasm", /^plugin +shop-pay 1\.0\.0 .*\ndigest +sha256:/],
  ["plugin install DIR/new.wasm --grant emit,log,match", /imports +emit, log, match/],
  ["plugin activate shop-pay 1.0.0", /^plugin +shop-pay\nactive +1\.0\.0\n/],
  ["plugin shadow shop-pay 1.1.0 --percent 50 --stop-on faults=2", /^trial +1: shadow of.* 50 %/],
  ["plugin abort shop-pay", /^trial .*\nstate +aborted\n/],
  ["plugin canary shop-pay 1.1.0 --percent 5", /^trial +2: canary of .* 5 %\nstate +running/],
  ["plugin promote shop-pay --drain 60", /^trial +2: canary of .*\nstate +promoted/],
  ["plugin trials shop-pay", /^ID +KIND +VERSION.*\n2 +canary +1\.1\.0 +5 +promoted.*\n1 +shadow/],
  ["plugin trials shop-pay 2 -w", /^trial +2/],
  ["plugin list", /^NAME.*\nshop-pay +1\.1\.0 +1\.0\.0 +- +2 +-\n/],
  ["plugin get shop-pay", /\n1\.1\.0 +sha256:[0-9a-f]{12} +\d+ +shop .* active +-\n/],
  ["plugin get shop-pay 1.1.0", /budget +4000000 \+ 40 a byte fuel a call, 8192 KiB memory/],
  ["plugin rollback shop-pay --drain 0", /active +1\.0\.0\nlast good +none\n/],
  ["plugin instances", /^WORKER +PLUGIN/],
  ["plugin logs shop-pay", /^$/],
  ["plugin export shop-pay 1.1.0 DIR/layout", /layout:shop-pay-1\.1\.0\n$/],
  ["plugin import DIR/layout", /^plugin +shop-pay 1\.1\.0/],
  ["plugin export shop-pay 1.1.0 DIR/layout.tar", /layout\.tar:shop-pay-1\.1\.0\n$/],
  ["plugin import DIR/layout.tar", /^plugin +shop-pay 1\.1\.0/],
  ["key revoke shop", /^key +shop \(revoked\)\n/],
  ["plugin get shop-pay 1.0.0", /used as +active\nflag +key-revoked\n$/],
  ["key remove shop", /^key shop removed\n$/],
];

const WRONG: readonly (readonly [string, number, RegExp])[] = [
  ["key generate shop -o DIR/keys", EXIT.user, /Cannot make key "shop": EEXIST/],
  ["key generate ../shop", EXIT.user, /expected a name/],
  ["key trust shop DIR/keys/shop.pem --plugin x", EXIT.user, /this is a private key/],
  ["key trust shop DIR/none --plugin x", EXIT.user, /Cannot read .*none: ENOENT/],
  ["key trust shop DIR/keys/shop.pub.pem", EXIT.user, /required option '--plugin/],
  [
    "plugin sign DIR/1.0.0.wasm --key DIR/1.0.0.wasm",
    EXIT.user,
    /Cannot sign with .*: Cannot read/,
  ],
  ["plugin sign DIR/keys/shop.pem --key DIR/keys/shop.pem", EXIT.user, /not a WebAssembly/],
  ["plugin install DIR/1.0.0.wasm", EXIT.user, /no key here is sha256:/],
  ["plugin install DIR/keys/shop.pem", EXIT.user, /not a WebAssembly component/],
  ["plugin install DIR/1.0.0.wasm --grant root", EXIT.user, /grant/],
  ["plugin activate shop-pay 9.9.9", EXIT.user, /1\.1\.0, 1\.0\.0 installed/],
  ["plugin activate shop-pay 1.1.0 --drain soon", EXIT.user, /expected seconds/],
  ["plugin canary shop-pay 1.1.0", EXIT.user, /required option '--percent/],
  ["plugin canary shop-pay 1.1.0 --percent 101", EXIT.user, /from 0 to 100/],
  ["plugin shadow shop-pay 1.1.0 --stop-on x=1", EXIT.user, /expected what=n/],
  ["plugin promote shop-pay", EXIT.user, /Cannot find a running trial/],
  ["plugin get ..", EXIT.user, /it is no name/],
  ["plugin get none", EXIT.user, /Cannot find plugin none/],
  ["plugin import DIR/keys", EXIT.user, /oci-layout: ENOENT/],
  ["plugin import DIR/none.tar", EXIT.user, /oci-layout: no such file/],
  ["plugin list --socket DIR/none.sock", EXIT.unreachable, /Cannot reach the agent/],
];

describe("the operator's commands", () => {
  it("lead a plugin from its key to a roll-out and back", async () => {
    for (const [line, expected] of COMMANDS) {
      const { code, out, err } = await imker(...line.split(" "));
      expect([line, code, err]).toEqual([line, 0, ""]);
      expect([line, out]).toEqual([line, expect.stringMatching(expected)]);
    }
  });

  it.each(WRONG)("%s: exit %d", async (line, code, expected) => {
    const outcome = await imker(...line.split(" "));
    expect(outcome).toMatchObject({ code, out: "", err: expect.stringMatching(expected) });
  });

  it("print JSON and help everywhere", async () => {
    node.proxy.status = proxyStatus({});
    for (const line of [
      "plugin list",
      "plugin get shop-pay",
      "plugin trials shop-pay",
      "key list",
    ]) {
      const { code, out } = await imker(...line.split(" "), "--json");
      expect([code, typeof JSON.parse(out)]).toEqual([0, "object"]);
    }
    const commands = new Set(COMMANDS.map(([line]) => line.split(" ").slice(0, 2).join(" ")));
    for (const line of commands) {
      const { code, out } = await imker(...line.split(" "), "--help");
      expect([line, code, out]).toEqual([line, 0, expect.stringMatching(/--json/)]);
    }
  });

  it("keep the private key to its owner", () => {
    expect(readFileSync(join(folder, "keys", "shop.pem"), "utf8")).toMatch(/PRIVATE KEY/);
  });
});
