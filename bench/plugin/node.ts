/**
 * A node on which versions are swapped: the real agent and proxy, a server behind a policy, a
 * client to load it, and two versions of the shipped plugin, signed by a key the node trusts.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { ActivationRequest } from "../../host/admin/plugin-schema.ts";
import { Stage } from "../../host/demo/stage.ts";
import type { Endpoint } from "../../host/endpoint/types.ts";
import { type Load, startLoad, Vendor } from "../../test/plugin-node.ts";
import { allowPolicy, Rig } from "../../test/rig.ts";
import { RunError } from "../errors.ts";
import { residentBytes } from "../process.ts";
import { isProcessAlive, isStaleName, ownName } from "../topology.ts";
import { SUBJECT } from "./subject.ts";

const VERSIONS = ["1.0.0", "1.1.0"] as const;
const SERVER_PORT = 8080;
const PATH = "/ok";
const WASM = "application/wasm";
/** Where nodes have their folders, named like themselves. */
const RUN = "/run";

export class SwapNode {
  readonly #rig: Rig;
  readonly #server: Endpoint;
  readonly #client: Endpoint;
  #swaps = 0;

  private constructor(rig: Rig, server: Endpoint, client: Endpoint) {
    this.#rig = rig;
    this.#server = server;
    this.#client = client;
  }

  static async start(root: string): Promise<SwapNode> {
    await removeStaleNodes();
    const vendor = new Vendor();
    // Before there is an agent: it ends connections that idle while a build keeps us busy.
    const files: Uint8Array[] = [];
    for (const version of VERSIONS) {
      files.push(await vendor.package(join(root, "plugins", SUBJECT), version));
    }
    const rig = await Rig.start(ownName("plugin"));
    try {
      const server = await rig.pod("web", SERVER_PORT);
      const client = await rig.pod("friend");
      await rig.apply(allowPolicy("web", "web", "friend", `{ path: ${PATH} }`));
      const key = { name: "bench", publicKey: vendor.publicKey, plugins: [SUBJECT] };
      await rig.client.call("POST", "/v1/keys", key);
      for (const file of files) await rig.client.upload("/v1/plugins", file, WASM);
      return new SwapNode(rig, server, client);
    } catch (error) {
      await rig.close();
      throw error;
    } finally {
      vendor.close();
    }
  }

  close(): Promise<void> {
    return this.#rig.close();
  }

  load(clients: number): Promise<Load> {
    const options = { path: PATH, clients, requests: 20 };
    return startLoad(this.#client, this.#server, options);
  }

  /** Activates the other version; milliseconds until the last worker has it. */
  async swap(): Promise<number> {
    const version = VERSIONS[this.#swaps++ % VERSIONS.length] ?? VERSIONS[0];
    const request: Partial<ActivationRequest> = { version, allowDowngrade: true };
    const started = performance.now();
    await this.#rig.client.call("PUT", `/v1/plugins/${SUBJECT}/activation`, request);
    return performance.now() - started;
  }

  /** Of the proxy, now: the status of the agent is some seconds old. */
  async residentBytes(): Promise<number> {
    const { proxy } = await this.#rig.status();
    if (proxy === undefined) throw new RunError("Cannot measure the proxy: it is not running");
    return residentBytes(proxy.pid);
  }
}

/** Agent and proxy outlive a run that was killed; their node is removed by the next one. */
async function removeStaleNodes(): Promise<void> {
  for (const name of readdirSync(RUN)) {
    if (!isStaleName(name, isProcessAlive)) continue;
    await new Stage({ name, runtime: "node" }).remove();
  }
}
