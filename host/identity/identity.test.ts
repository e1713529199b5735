/** The labels, prefixes, reserved numbers and allocation of identities. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cidrLabelKey,
  cidrLabels,
  formatPrefix,
  parseCidrLabelKey,
  parsePrefix,
  prefixContains,
} from "./cidr.ts";
import { formatLabel, k8sLabel, labelSetKey, parseLabel, parseLabelSetKey } from "./label.ts";
import { createLabelFilter, filterLabels, LabelFilterError } from "./label-filter.ts";
import { podLabels } from "./pod-labels.ts";

describe("labels", () => {
  test.each([
    ["k8s:app=web", { source: "k8s", key: "app", value: "web" }],
    ["app=web", { source: "unspec", key: "app", value: "web" }],
    ["reserved:host", { source: "reserved", key: "host", value: "" }],
    ["$host", { source: "reserved", key: "host", value: "" }],
    ["cidr:10.0.0.0/8", { source: "cidr", key: "10.0.0.0/8", value: "" }],
    ["k8s:a=b:c=d", { source: "k8s", key: "a", value: "b:c=d" }],
    ["a=b:c", { source: "unspec", key: "a", value: "b:c" }],
    [":a=b", { source: "unspec", key: "a", value: "b" }],
  ])("parseLabel(%s)", (text, label) => {
    expect(parseLabel(text)).toEqual(label);
    expect(parseLabel(formatLabel(label))).toEqual(label);
  });

  test("a label set has one key, whatever its order", () => {
    const labels = [parseLabel("k8s:b=2"), parseLabel("k8s:a=1"), parseLabel("k8s:a=1")];
    expect(labelSetKey(labels)).toBe("k8s:a=1;k8s:b=2;");
    expect(parseLabelSetKey(labelSetKey(labels)).map(formatLabel)).toEqual(["k8s:a=1", "k8s:b=2"]);
  });

  test("a pod cannot name its own namespace, cluster or service account", () => {
    const labels = podLabels({
      namespace: "default",
      serviceAccount: "sa",
      labels: {
        app: "web",
        "io.kubernetes.pod.namespace": "kube-system",
        "io.cilium.k8s.policy.cluster": "other",
        "io.cilium.k8s.policy.serviceaccount": "admin",
        "io.cilium.k8s.namespace.labels.team": "red",
      },
      namespaceLabels: { team: "blue" },
    });
    expect(labels.map(formatLabel)).toEqual([
      "k8s:app=web",
      "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default",
      "k8s:io.cilium.k8s.namespace.labels.team=blue",
      "k8s:io.cilium.k8s.policy.cluster=default",
      "k8s:io.cilium.k8s.policy.serviceaccount=sa",
      "k8s:io.kubernetes.pod.namespace=default",
    ]);
  });
});

describe("filterLabels()", () => {
  const kept = (keys: string[], rules: string[] = []) =>
    filterLabels(
      keys.map((key) => (key.includes(":") ? parseLabel(key) : k8sLabel(key, "x"))),
      createLabelFilter(rules),
    ).map(({ key }) => key);

  test.each([
    ["app", true],
    ["io.kubernetes.pod.namespace", true],
    ["io.kubernetes.pod.name", false],
    ["io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name", true],
    ["app.kubernetes.io/name", true],
    ["kubernetes.io/arch", false],
    ["example.kubernetes.io/x", true],
    ["beta.kubernetes.io/os", false],
    ["foo.beta.kubernetes.io/os", false],
    ["k8s.io/x", false],
    ["pod-template-hash", false],
    ["controller-revision-hash", false],
    ["statefulset.kubernetes.io/pod-name", false],
    ["apps.kubernetes.io/pod-index", false],
    ["batch.kubernetes.io/job-completion-index", false],
    ["batch.kubernetes.io/job-name", true],
    ["topology.kubernetes.io/zone", false],
    ["annotation.foo", false],
    ["reserved:host", true],
  ])("%s is kept: %s", (key, expected) => {
    expect(kept([key])).toHaveLength(expected ? 1 : 0);
  });

  test("an include of the operator's makes it an allow-list, excludes add up", () => {
    expect(kept(["app", "team", "io.kubernetes.pod.namespace"], ["k8s:team"])).toEqual([
      "team",
      "io.kubernetes.pod.namespace",
    ]);
    expect(kept(["app", "team"], ["!app"])).toEqual(["team"]);
    expect(kept(["container:team", "team"], ["k8s:!team"])).toEqual(["team"]);
    expect(kept(["foo.bar", "foo.baz"], ["!foo", "foo.bar"])).toEqual(["foo.bar"]);
  });

  test("the longest include stands against the shortest exclude", () => {
    expect(kept(["foo.bar.baz"], ["!foo.bar.baz", "!foo", "foo.bar"])).toEqual(["foo.bar.baz"]);
  });

  test.each(["!", "k8s:", "("])("refuses the rule %s", (rule) => {
    expect(() => createLabelFilter([rule])).toThrow(LabelFilterError);
  });
});

describe("prefixes", () => {
  test.each([
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["1.2.3.4/32", "1.2.3.4/32"],
    ["2001:DB8::1/32", "2001:db8::/32"],
    ["::/0", "::/0"],
    ["::1/128", "::1/128"],
    ["1:0:0:2:0:0:0:3/128", "1:0:0:2::3/128"],
    ["1:2:3:4:5:6:7:0/128", "1:2:3:4:5:6:7:0/128"],
    ["64:ff9b::192.0.2.1/128", "64:ff9b::c000:201/128"],
  ])("parsePrefix(%s)", (text, canonical) => {
    const prefix = parsePrefix(text);
    expect(prefix && formatPrefix(prefix)).toBe(canonical);
    const key = prefix && prefix.length > 0 ? cidrLabelKey(prefix) : undefined;
    if (prefix && key) expect(parseCidrLabelKey(key)).toEqual(prefix);
  });

  test.each([
    "10.0.0.0",
    "10.0.0/8",
    "10.0.0.0/33",
    "010.0.0.0/8",
    "10.0.0.0/08",
    "256.0.0.0/8",
    "::ffff:10.0.0.0/104",
    ":::/0",
    "1::2::3/64",
    "1:2:3:4:5:6:7:8:9/64",
    "g::/8",
    "fe80::1%eth0/64",
    "",
    "/8",
    "10.0.0.0/-1",
    "1:2:3:4:5:6:7::8/128x",
  ])("parsePrefix(%j) refuses", (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });

  test("label keys neither start nor end with a dash", () => {
    expect(cidrLabels({ family: 6, address: 1n, length: 128 }).map(formatLabel)).toEqual([
      "cidr:0--1/128",
      "reserved:world-ipv6",
    ]);
    expect(cidrLabels({ family: 6, address: 0xfd00n << 112n, length: 8 }).map(formatLabel)).toEqual(
      ["cidr:fd00--0/8", "reserved:world-ipv6"],
    );
    expect(cidrLabels({ family: 4, address: 0n, length: 0 }).map(formatLabel)).toEqual([
      "reserved:world-ipv4",
    ]);
  });

  test("never throws, and what it reads it writes back the same", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.ipV4().map((ip) => `${ip}/16`),
          fc.ipV6().map((ip) => `${ip}/64`),
        ),
        (text) => {
          const prefix = parsePrefix(text);
          if (!prefix) return;
          expect(parsePrefix(formatPrefix(prefix))).toEqual(prefix);
          expect(prefixContains(prefix, prefix)).toBe(true);
        },
      ),
    );
  });
});
