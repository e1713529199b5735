/** Options of `imker agent` about identities, and what they make together. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { AGENT_DEFAULTS, type EtcdStoreOptions, type IdentityOptions } from "../../options.ts";
import { parseDuration } from "../duration.ts";
import { CliError, EXIT } from "../errors.ts";

const GRACE_SECONDS_MAX = 600;

export interface IdentityFlags {
  identityStore: "sqlite" | "etcd";
  etcdEndpoint: string[];
  etcdCert?: string;
  etcdKey?: string;
  etcdCa?: string;
  etcdUser?: string;
  etcdPasswordFile?: string;
  labels: string[];
  clusterId: number;
  maxConnectedClusters: "255" | "511";
  fixedIdentityMapping?: string;
  identityChangeGracePeriod: number;
}

export function addIdentityOptions(command: Command): Command {
  return command
    .option("--cluster-id <n>", "number of the cluster in a mesh; 0: in none", wholeNumber, 0)
    .addOption(
      new Option("--max-connected-clusters <n>", "clusters that a mesh may have")
        .choices(["255", "511"])
        .default(String(AGENT_DEFAULTS.maxConnectedClusters)),
    )
    .addOption(
      new Option("--identity-store <name>", "who gives identities their numbers")
        .choices(["sqlite", "etcd"])
        .default("sqlite"),
    )
    .option("--etcd-endpoint <url>", "server of etcd; repeat", collect, [])
    .option("--etcd-cert <file>", "certificate to show to etcd (PEM)")
    .option("--etcd-key <file>", "key of that certificate (PEM)")
    .option("--etcd-ca <file>", "who signs etcd's certificate (PEM)")
    .option("--etcd-user <name>", "user of etcd")
    .option("--etcd-password-file <file>", "file with that user's password")
    .option("--labels <rules>", "label filters after the default ones, such as '!build'", words, [])
    .option("--fixed-identity-mapping <list>", "numbers of your own, such as 128=backup,129=ci")
    .addOption(
      new Option(
        "--identity-change-grace-period <duration>",
        "how long a relabelled pod keeps its identity",
      )
        .argParser(seconds)
        .default(AGENT_DEFAULTS.gracePeriodMs / 1000, "5s"),
    );
}

/** Throws CliError when the flags contradict each other. */
export function identityOptions(flags: IdentityFlags): IdentityOptions {
  return {
    etcd: etcdOptions(flags),
    labels: flags.labels,
    clusterId: flags.clusterId,
    maxConnectedClusters: flags.maxConnectedClusters === "511" ? 511 : 255,
    fixedMapping: flags.fixedIdentityMapping,
    gracePeriodMs: flags.identityChangeGracePeriod * 1000,
  };
}

function etcdOptions(flags: IdentityFlags): EtcdStoreOptions | undefined {
  const { etcdEndpoint: endpoints, etcdCert, etcdKey, etcdCa, etcdUser, etcdPasswordFile } = flags;
  if (flags.identityStore === "sqlite") {
    const given = [...endpoints, etcdCert, etcdKey, etcdCa, etcdUser, etcdPasswordFile];
    if (given.every((one) => one === undefined)) return undefined;
    throw wrong("options of etcd are given; it needs --identity-store etcd");
  }
  if (endpoints.length === 0) throw wrong("--etcd-endpoint missing");
  for (const endpoint of endpoints) {
    if (!isServer(endpoint)) {
      throw wrong(`"${endpoint}" is no server; expected such as https://10.0.0.1:2379`);
    }
  }
  if ((etcdCert === undefined) !== (etcdKey === undefined)) {
    throw wrong("--etcd-cert and --etcd-key belong together");
  }
  if ((etcdUser === undefined) !== (etcdPasswordFile === undefined)) {
    throw wrong("--etcd-user and --etcd-password-file belong together");
  }
  return {
    endpoints: endpoints.map((endpoint) => endpoint.replace(/\/$/, "")),
    ...{ certFile: etcdCert, keyFile: etcdKey, caFile: etcdCa },
    ...{ user: etcdUser, passwordFile: etcdPasswordFile },
  };
}

function isServer(text: string): boolean {
  const url = URL.parse(text);
  const plain = url?.pathname === "/" && url.search === "" && url.username === "";
  return plain && ["http:", "https:"].includes(url.protocol);
}

function wrong(what: string): CliError {
  return new CliError(EXIT.user, `Cannot use the identity store: ${what}`);
}

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError("expected a whole number");
  return Number(text);
}

/** A duration, or seconds without a unit. */
function seconds(text: string): number {
  const plain = /^\d{1,3}(\.\d{1,3})?$/.test(text) ? `${text}s` : text;
  const value = (parseDuration(plain) ?? Number.NaN) / 1000;
  if (!(value <= GRACE_SECONDS_MAX)) {
    throw new InvalidArgumentError(
      `expected a duration of at most ${GRACE_SECONDS_MAX / 60}m, such as 5s`,
    );
  }
  return value;
}

/** Cilium's form: several rules with spaces between; the option may also be repeated. */
function words(text: string, all: string[]): string[] {
  return [...all, ...text.split(/\s+/).filter((word) => word !== "")];
}

function collect(value: string, all: string[]): string[] {
  return [...all, value];
}
