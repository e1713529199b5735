/** Options of `imker agent` about what policies mean on this node, with Cilium's names. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { POLICY_ENTRIES_CHOICE, POLICY_ENTRIES_MAX } from "../../datapath/policy-map.ts";
import type { PolicyOptions } from "../../options.ts";

export interface PolicyFlags {
  enablePolicy: PolicyOptions["enablePolicy"];
  endpointLockdownOnPolicyOverflow: boolean;
  nodeSelectorLabels: boolean;
  extendedIpProtocols: boolean;
  policyCidrMatchMode: "nodes"[];
  policyDefaultLocalCluster: boolean;
  allowLocalhost: PolicyOptions["allowLocalhost"];
  policyDenyResponse: PolicyOptions["denyResponse"];
  allowIcmpFragNeeded: boolean;
  bpfPolicyMapMax: number;
}

export function addPolicyOptions(agent: Command): Command {
  return agent
    .addOption(
      new Option("--enable-policy <mode>", "whether endpoints without a policy are open")
        .choices(["default", "always", "never"])
        .default("default"),
    )
    .addOption(
      new Option(
        "--allow-localhost <when>",
        "whether the node may reach its own pods unless denied",
      )
        .choices(["auto", "always", "policy"])
        .default("auto", "auto: always"),
    )
    .option(
      "--policy-cidr-match-mode <what>",
      "what CIDRs in policies select besides the world: nodes",
      parseMatchModes,
      [],
    )
    .addOption(
      new Option(
        "--policy-default-local-cluster [boolean]",
        "peers that name no cluster are of this one",
      )
        .argParser(parseBoolean)
        .default(true),
    )
    .addOption(
      new Option(
        "--allow-icmp-frag-needed [boolean]",
        "ICMPv4 'fragmentation needed' passes every policy",
      )
        .argParser(parseBoolean)
        .default(true),
    )
    .addOption(
      new Option("--policy-deny-response <how>", "what a pod is told of what it may not send")
        .choices(["none", "icmp"])
        .default("none"),
    )
    .option(
      "--endpoint-lockdown-on-policy-overflow",
      "close an endpoint whose policy does not fit into its map, instead of keeping the last one",
      false,
    )
    .option(
      "--bpf-policy-map-max <n>",
      "entries that the policy map of an endpoint holds",
      parseEntries,
      POLICY_ENTRIES_MAX,
    )
    .option("--node-selector-labels", "tell nodes apart by their labels", false)
    .option("--extended-ip-protocols", "police VRRP, IGMP, GRE, IPIP, IPV6, ESP, AH", false)
    .addOption(enabling("endpoint-lockdown-on-policy-overflow", "endpointLockdownOnPolicyOverflow"))
    .addOption(enabling("node-selector-labels", "nodeSelectorLabels"))
    .addOption(enabling("extended-ip-protocols", "extendedIpProtocols"));
}

/** Cilium's name of one of our switches. */
export function enabling(name: string, attribute: string): Option {
  return new Option(`--enable-${name}`).implies({ [attribute]: true }).hideHelp();
}

export function policyOptions(flags: PolicyFlags): PolicyOptions {
  const { enablePolicy, allowLocalhost, nodeSelectorLabels, extendedIpProtocols } = flags;
  return {
    ...{ enablePolicy, allowLocalhost, nodeSelectorLabels, extendedIpProtocols },
    endpointLockdownOnPolicyOverflow: flags.endpointLockdownOnPolicyOverflow,
    cidrMatchesNodes: flags.policyCidrMatchMode.includes("nodes"),
    defaultLocalCluster: flags.policyDefaultLocalCluster,
    denyResponse: flags.policyDenyResponse,
    allowIcmpFragNeeded: flags.allowIcmpFragNeeded,
    policyEntriesMax: flags.bpfPolicyMapMax,
  };
}

/** Of a list with commas; the option may also be repeated. */
function parseMatchModes(text: string, all: "nodes"[]): "nodes"[] {
  const modes = text.split(",").filter((mode) => mode !== "");
  for (const mode of modes) {
    if (mode === "nodes") continue;
    const why = mode === "pods" ? "pods are selected by their labels only; " : "";
    throw new InvalidArgumentError(`${why}expected nodes`);
  }
  return modes.length > 0 ? [...all, "nodes"] : all;
}

function parseEntries(text: string): number {
  const { min, max } = POLICY_ENTRIES_CHOICE;
  const entries = Number(text);
  if (!/^\d{1,9}$/.test(text) || entries < min || entries > max) {
    throw new InvalidArgumentError(`expected a number from ${min} to ${max}`);
  }
  return entries;
}

/** As Go's flags: `--x`, `--x=true`, `--x=false`. */
function parseBoolean(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new InvalidArgumentError("expected true or false");
}
