/** Which identities a label on the command line means, and what options of etcd belong together. */
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import type { IdentityView } from "../../admin/types.ts";
import { addIdentityOptions, type IdentityFlags, identityOptions } from "./agent-identity.ts";
import { selectIdentities } from "./identity.ts";

const view = (id: number, ...labels: string[]): IdentityView => ({
  ...{ id, kind: "cluster", labels, endpoints: 0 },
});

it.each([
  [["app=web"], [256, 257]],
  [["k8s:app=web"], [256, 257]],
  [["app"], [256, 257, 258]],
  [["app=web", "env=test"], [257]],
  [["reserved:world"], [2]],
  [["world"], [2]],
  [["other:app=web"], []],
  [["app=we"], []],
  [[], [2, 256, 257, 258]],
])("%j selects %j", (wanted, ids) => {
  const all = [
    view(2, "reserved:world"),
    view(256, "k8s:app=web"),
    view(257, "k8s:app=web", "k8s:env=test"),
    view(258, "k8s:app=db"),
  ];
  expect(selectIdentities(all, wanted).map(({ id }) => id)).toEqual(ids);
});

describe("options of the agent", () => {
  const parse = (...args: string[]) => {
    const command = addIdentityOptions(new Command().exitOverride());
    command.configureOutput({ writeErr: () => {} });
    return identityOptions(command.parse(args, { from: "user" }).opts<IdentityFlags>());
  };

  it("a node alone needs none", () => {
    expect(parse()).toEqual({
      ...{ etcd: undefined, labels: [], clusterId: 0, maxConnectedClusters: 255 },
      ...{ fixedMapping: undefined, gracePeriodMs: 5_000 },
    });
  });

  it("etcd with all it may have", () => {
    const etcd = ["--identity-store", "etcd", "--etcd-endpoint", "https://a:1", "--etcd-endpoint"];
    const files = ["--etcd-cert", "c", "--etcd-key", "k", "--etcd-ca", "a"];
    const user = ["--etcd-user", "u", "--etcd-password-file", "p"];
    expect(parse(...etcd, "https://b:1/", ...files, ...user).etcd).toEqual({
      ...{ endpoints: ["https://a:1", "https://b:1"], certFile: "c", keyFile: "k", caFile: "a" },
      ...{ user: "u", passwordFile: "p" },
    });
    expect(parse("--labels", "!a k8s:b", "--labels", "c").labels).toEqual(["!a", "k8s:b", "c"]);
    for (const [text, ms] of [
      ["0.5s", 500],
      ["0.5", 500],
      ["1m30s", 90_000],
    ] as const) {
      expect(parse("--identity-change-grace-period", text).gracePeriodMs).toBe(ms);
    }
  });

  it.each([
    [["--etcd-endpoint", "http://a:1"], "it needs --identity-store etcd"],
    [["--identity-store", "etcd"], "--etcd-endpoint missing"],
    [["--identity-store", "etcd", "--etcd-endpoint", "a:1"], '"a:1" is no server'],
    [["--identity-store", "etcd", "--etcd-endpoint", "http://u@a:1"], "is no server"],
    [
      ["--identity-store", "etcd", "--etcd-endpoint", "http://a:1", "--etcd-cert", "c"],
      "--etcd-cert and --etcd-key belong together",
    ],
    [
      ["--identity-store", "etcd", "--etcd-endpoint", "http://a:1", "--etcd-user", "c"],
      "--etcd-user and --etcd-password-file belong together",
    ],
    [["--max-connected-clusters", "300"], "255, 511"],
    [["--cluster-id", "x"], "expected a whole number"],
    [["--identity-change-grace-period", "11m"], "expected a duration of at most 10m"],
  ])("refuses %j", (args, message) => {
    expect(() => parse(...args)).toThrow(message);
  });
});
