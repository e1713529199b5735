/**
 * A node with an agent, pods and a world outside, for tests of policies on real traffic: who can
 * reach whom, asked in short words such as `client > web tcp/8080`.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { PolicyView } from "../host/admin/types.ts";
import { sh } from "../host/datapath/testdata/node-client.ts";
import { Peer } from "../host/datapath/testdata/peer.ts";
import { WORLD } from "../host/demo/scenario.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { Rig } from "./rig.ts";

const NAME = "imker-t-policy";
const EXCEPTED6 = "2001:db8:2::66";
const PROJECT = dirname(import.meta.dirname);
const RAW = join(PROJECT, ".build", "test", "raw");
const RAW_MS = "400";
const RAW_NOT_ARRIVED = 3;
/** Over two packets of any link here. */
const LARGE = "0123456789abcdef".repeat(512);

export type Family = 4 | 6;
type Addresses = Readonly<Record<Family, string>>;

interface Place {
  netns: string;
  addresses: Addresses;
  /** One process for each family: what one waits for does not hold up the other. */
  peers: Readonly<Record<Family, Peer>>;
}

export class PolicyWorld {
  readonly rig: Rig;
  readonly #folder: string;
  readonly #places: Map<string, Place>;

  private constructor(rig: Rig, folder: string, places: Map<string, Place>) {
    this.rig = rig;
    this.#folder = folder;
    this.#places = places;
  }

  /** Pods web, client and (in namespace prod) other; world and excepted outside; the node. */
  static async start(): Promise<PolicyWorld> {
    const folder = mkdtempSync(join(tmpdir(), "imker-policy-"));
    const options = ["--cluster-state", folder, "--extended-ip-protocols"];
    const rig = await Rig.start(NAME, "node", options);
    const { nodeNetns, worldNetns } = rig.stage;
    // Not the one that connections of the world come from.
    const excepted = `${EXCEPTED6}/64 dev node nodad preferred_lft 0`;
    sh(`nsenter --net=${worldNetns} ip -6 addr add ${excepted}`);
    mkdirSync(dirname(RAW), { recursive: true });
    sh(`cc -O1 -Wall -Werror -o ${RAW} ${PROJECT}/host/datapath/testdata/raw.c`);
    const places = new Map<string, Place>();
    const place = (name: string, netns: string, four: string, six: string) => {
      const peers = { 4: new Peer(netns), 6: new Peer(netns) };
      places.set(name, { netns, addresses: { 4: four, 6: six }, peers });
    };
    for (const [name, namespace, ports] of [
      ["web", "test", [{ name: "http", port: 8080 }]],
      ["client", "test", []],
      ["other", "prod", []],
    ] as const) {
      const body = { name, namespace, labels: { app: name }, ports };
      const pod = await rig.client.call<Endpoint>("POST", "/v1/endpoints", body);
      place(name, pod.netns, pod.ipv4 ?? "", pod.ipv6 ?? "");
    }
    place("world", worldNetns, WORLD.partner4, WORLD.partner6);
    place("excepted", worldNetns, WORLD.excepted4, EXCEPTED6);
    place("node", nodeNetns, WORLD.node4, WORLD.node6);
    const world = new PolicyWorld(rig, folder, places);
    await world.#listen();
    return world;
  }

  async #listen(): Promise<void> {
    const listening: Promise<string>[] = [];
    for (const { addresses, peers } of this.#places.values()) {
      for (const family of [4, 6] as const) {
        for (const port of [8080, 9090])
          listening.push(peers[family].listen("tcp", addresses[family], port));
        listening.push(peers[family].listen("udp", addresses[family], 5353));
      }
    }
    await Promise.all(listening);
  }

  /** Objects of the cluster: YAML of one file. */
  state(name: string, text: string): void {
    writeFileSync(join(this.#folder, `${name}.yaml`), text);
  }

  forgetState(name: string): void {
    rmSync(join(this.#folder, `${name}.yaml`), { force: true });
  }

  /** In force when it resolves. */
  async apply(text: string): Promise<void> {
    const { errors } = await this.rig.apply(text);
    if (errors.length > 0) throw new Error(`Cannot apply: ${JSON.stringify(errors)}`);
  }

  async withdrawAll(): Promise<void> {
    const { client } = this.rig;
    for (const { kind, namespace, name } of await client.call<PolicyView[]>("GET", "/v1/policies"))
      await client.call("DELETE", `/v1/policies/${kind}/${namespace || "-"}/${name}?wait=true`);
  }

  /** `FROM > TO tcp/PORT`, `udp/PORT`, `large/PORT` (UDP in pieces), `echo` or `raw/PROTOCOL`. */
  reaches(question: string, family: Family, expected = true): Promise<boolean> {
    const [from = "", , to = "", what = ""] = question.split(" ");
    const source = this.#place(from);
    const host = this.#place(to).addresses[family];
    const [kind, port] = what.split("/");
    const peer = source.peers[family];
    const denied = !expected;
    switch (kind) {
      case "tcp":
        return peer
          .open(host, Number(port), { denied })
          .then(({ greeting }) => greeting.startsWith("hello"));
      case "udp":
        return peer.udp(host, Number(port), "x", { denied }).then((said) => /^hello/.test(said));
      case "large":
        return peer.udp(host, Number(port), LARGE, { denied }).then((said) => /^hello/.test(said));
      case "echo":
        return ping(source.netns, host);
      case "raw":
        return this.#arrives(from, to, Number(port), family);
      default:
        throw new Error(`Cannot ask ${question}`);
    }
  }

  /** A connection that stays: says whether it still lives. */
  async connect(from: string, to: string, port: number, family: Family) {
    const peer = this.#place(from).peers[family];
    const { id } = await peer.open(this.#place(to).addresses[family], port);
    return async (expected: boolean) => {
      const answer = await peer.exchange(id, "ping", expected ? 3_000 : 500);
      return answer === "ping";
    };
  }

  async #arrives(from: string, to: string, protocol: number, family: Family): Promise<boolean> {
    const { netns, addresses } = this.#place(to);
    const raw = [RAW, String(family), String(protocol), netns, addresses[family], RAW_MS];
    const args = [`--net=${this.#place(from).netns}`, ...raw];
    return promisify(execFile)("nsenter", args).then(
      () => true,
      ({ code, stderr }: { code?: number; stderr?: string }) => {
        if (code !== RAW_NOT_ARRIVED) throw new Error(`Cannot send a packet: ${stderr}`);
        return false;
      },
    );
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (!place) throw new Error(`Cannot ask of ${name}: there is none`);
    return place;
  }

  async close(): Promise<void> {
    for (const { peers } of this.#places.values()) {
      await peers[4].kill();
      await peers[6].kill();
    }
    await this.rig.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function ping(netns: string, host: string): Promise<boolean> {
  const args = [`--net=${netns}`, "ping", "-c1", "-W0.5", host];
  return promisify(execFile)("nsenter", args).then(
    () => true,
    () => false,
  );
}
