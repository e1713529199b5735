/** Wrong words of a command line are refused before an agent is asked, and say what is expected. */
import { expect, test } from "vitest";
import { prefilterDevices } from "../../prefilter/options.ts";
import { createContext } from "../context.ts";
import { EXIT } from "../errors.ts";
import { runCli } from "../main.ts";

test.each([
  ["bpf policy get web --identity x", /'x' is invalid\. expected a number/],
  ["bpf policy get web --identity 3 --port http", /'http' is invalid\. expected a number/],
  ["bpf policy get web --identity 3 --direction up", /Allowed choices are ingress, egress/],
  ["bpf policy get web --identity 3 --protocol foo", /expected a number or one of ANY, ICMP, /],
  ["prefilter add foo", /^imker: Cannot read prefix "foo": expected ADDRESS\[\/BITS\]\n$/],
  ["prefilter delete 192.0.2.0/33", /^imker: Cannot read prefix: "192\.0\.2\.0\/33" has no valid/],
  ["policy diff", /^imker: Cannot compare: give policies with -f, --delete, or both\n$/],
  ["policy diff --delete web", /^imker: Cannot read policy "web": expected KIND\/namespace\/name/],
  ["policy get -o xml", /Allowed choices are table, json, yaml/],
  ["endpoint config web Foo=Bar", /expected PolicyAuditMode=Enabled or PolicyAuditMode=Disabled/],
  ["endpoint label web app", /^imker: Cannot read "app": expected key=value or key-\n$/],
])("%s", async (line, message) => {
  const err: string[] = [];
  const streams = { out: () => {}, err: (text: string) => err.push(text) };
  const context = createContext({ ...streams, socket: "/nonexistent/admin.sock" });
  expect(await runCli(line.split(" "), context)).toBe(EXIT.user);
  expect(err.join("")).toMatch(message);
});

test("a device that is named twice is one", () => {
  const options = { devices: [], eventMs: 1 };
  expect(prefilterDevices(options, ["eth0", "lo", "eth0", "eth1"])).toEqual(["eth0", "eth1"]);
});
