/** The agent's options in Cilium's forms: what they come to, and what is refused. */
import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { CT_TIMEOUTS } from "../../datapath/settings.ts";
import { addConntrackOptions, type ConntrackFlags, ctTimeouts } from "./agent-conntrack.ts";
import { addPolicyOptions, type PolicyFlags, policyOptions } from "./agent-policy.ts";

function parse(args: readonly string[]): ConntrackFlags & PolicyFlags {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  addConntrackOptions(addPolicyOptions(command)).parse(args, { from: "user" });
  return command.opts();
}

describe("policies", () => {
  const DEFAULTS = {
    ...{ enablePolicy: "default", allowLocalhost: "auto", policyEntriesMax: 16_384 },
    denyResponse: "none",
    ...{ endpointLockdownOnPolicyOverflow: false, nodeSelectorLabels: false },
    ...{
      cidrMatchesNodes: false,
      defaultLocalCluster: true,
      allowIcmpFragNeeded: true,
      extendedIpProtocols: false,
    },
  };

  test.each<[string, object]>([
    ["", {}],
    ["--enable-policy always", { enablePolicy: "always" }],
    ["--allow-localhost=policy", { allowLocalhost: "policy" }],
    ["--policy-deny-response icmp", { denyResponse: "icmp" }],
    ["--bpf-policy-map-max 65536", { policyEntriesMax: 65_536 }],
    ["--policy-cidr-match-mode nodes", { cidrMatchesNodes: true }],
    ["--policy-cidr-match-mode=", {}],
    ["--policy-default-local-cluster=false", { defaultLocalCluster: false }],
    ["--allow-icmp-frag-needed=false", { allowIcmpFragNeeded: false }],
    ["--policy-default-local-cluster", {}],
    ["--enable-node-selector-labels", { nodeSelectorLabels: true }],
    ["--node-selector-labels", { nodeSelectorLabels: true }],
    ["--enable-extended-ip-protocols", { extendedIpProtocols: true }],
    ["--extended-ip-protocols", { extendedIpProtocols: true }],
    ["--enable-endpoint-lockdown-on-policy-overflow", { endpointLockdownOnPolicyOverflow: true }],
    ["--endpoint-lockdown-on-policy-overflow", { endpointLockdownOnPolicyOverflow: true }],
  ])("%s", (args, expected) => {
    const flags = parse(args.split(" ").filter((arg) => arg !== ""));
    expect(policyOptions(flags)).toEqual({ ...DEFAULTS, ...expected });
  });
});

describe("connection tracking", () => {
  test.each<[string[], object]>([
    [[], {}],
    [["--bpf-ct-timeout-regular-tcp", "6h"], { tcp: 21_600 }],
    [["--bpf-ct-timeout-regular-tcp-syn=1m30s"], { tcpOpening: 90 }],
    [["--bpf-ct-timeout-regular-tcp-fin", "2s"], { tcpClosing: 2 }],
    [["--bpf-ct-timeout-regular-any", "8760h"], { other: 31_536_000 }],
  ])("%j", (args, expected) => {
    expect(ctTimeouts(parse(args))).toEqual({ ...CT_TIMEOUTS, ...expected });
  });
});

test.each([
  [["--allow-localhost", "never"], "Allowed choices are auto, always, policy"],
  [["--bpf-policy-map-max", "255"], "expected a number from 256 to 65536"],
  [["--bpf-policy-map-max", "1e3"], "expected a number from 256 to 65536"],
  [["--policy-cidr-match-mode", "nodes,pods"], "pods are selected by their labels only"],
  [["--policy-cidr-match-mode", "all"], "expected nodes"],
  [["--policy-default-local-cluster=no"], "expected true or false"],
  [["--bpf-ct-timeout-regular-tcp", "1.5s"], "from 2s to 8760h"],
  [["--bpf-ct-timeout-regular-tcp", "1s"], "from 2s to 8760h"],
  [["--bpf-ct-timeout-regular-tcp", "60"], "from 2s to 8760h"],
  [["--bpf-ct-timeout-regular-any", "8761h"], "from 2s to 8760h"],
  [["--bpf-ct-timeout-regular-any", ""], "from 2s to 8760h"],
  [["--bpf-ct-timeout-service-any", "10s"], "unknown option"],
])("refuses %j", (args, message) => {
  expect(() => parse(args)).toThrow(message);
});
