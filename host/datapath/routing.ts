/**
 * The node's share in the hand-over to the proxy: packets that the programs marked for the proxy
 * are routed as if their destination were local. And forwarding, which pods need. All of it in the
 * network namespace this process runs in.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { ipBatch, run } from "./command.ts";

export const PROXY_TABLE = 2004;
const PROXY_RULE = `pref 9 fwmark 0x200/0xf00 lookup ${PROXY_TABLE}`;
const SYSCTL = "/proc/sys/net";
/* accept_ra: 1 accepts router advertisements only while the node does not forward. */
const ACCEPT_RA_HOST = "1";
const ACCEPT_RA_ALWAYS = "2";

const FAMILIES = [
  { flag: "-4", any: "0.0.0.0/0" },
  { flag: "-6", any: "::/0" },
] as const;

type Family = (typeof FAMILIES)[number];

const families = (): Family[] =>
  FAMILIES.filter(({ flag }) => flag === "-4" || existsSync(`${SYSCTL}/ipv6`));

/** Idempotent. */
export function installRouting(): void {
  setSysctl("ipv4/ip_forward", "1");
  if (existsSync(`${SYSCTL}/ipv6`)) forwardIpv6();
  const lines = families().map(
    ({ any }) => `route replace local ${any} dev lo table ${PROXY_TABLE}`,
  );
  ipBatch(["link set lo up", ...lines]);
  // A rule has no address to tell its family by, so it cannot go into the batch.
  for (const { flag } of families())
    run(["ip", flag, "rule", "add", ...PROXY_RULE.split(" ")], { tolerate: /File exists/ });
}

/** Removes rules and routes; says which there were. Sysctls stay: others may need them by now. */
export function uninstallRouting(): string[] {
  const removed: string[] = [];
  for (const { flag, any } of families()) {
    const version = flag === "-4" ? "IPv4" : "IPv6";
    if (run(["ip", flag, "rule", "show", "pref", "9"]).includes(`lookup ${PROXY_TABLE}`)) {
      run(["ip", flag, "rule", "del", ...PROXY_RULE.split(" ")]);
      removed.push(`${version} rule ${PROXY_RULE}`);
    }
    const table = run(["ip", flag, "route", "show", "table", "all"]);
    if (new RegExp(`^local .* table ${PROXY_TABLE}\\b`, "m").test(table)) {
      ipBatch([`route del local ${any} dev lo table ${PROXY_TABLE}`]);
      removed.push(`${version} route local ${any} table ${PROXY_TABLE}`);
    }
  }
  return removed;
}

/** Writes only what differs: some of these files cost a walk over all interfaces. */
export function setSysctl(name: string, value: string): void {
  const path = `${SYSCTL}/${name}`;
  if (readFileSync(path, "utf8").trim() !== value) writeFileSync(path, value);
}

/** A forwarding node ignores router advertisements unless told otherwise: keep the node's own. */
function forwardIpv6(): void {
  const forwarding = "ipv6/conf/all/forwarding";
  if (readFileSync(`${SYSCTL}/${forwarding}`, "utf8").trim() === "1") return;
  for (const device of readdirSync(`${SYSCTL}/ipv6/conf`)) {
    const name = `ipv6/conf/${device}/accept_ra`;
    if (readFileSync(`${SYSCTL}/${name}`, "utf8").trim() === ACCEPT_RA_HOST)
      setSysctl(name, ACCEPT_RA_ALWAYS);
  }
  setSysctl(forwarding, "1");
}
