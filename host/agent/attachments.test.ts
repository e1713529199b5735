/** Interfaces that go and come, and links that somebody takes off. */
import { pino } from "pino";
import { expect, test } from "vitest";
import type { EndpointRecord } from "../endpoint/types.ts";
import { Attachments } from "./attachments.ts";

const POD = { id: 7, ifname: "imk7" } as EndpointRecord;

/** A kernel with these interfaces, and these attached. */
function world(interfaces: string[], attached: string[]) {
  const there = new Set(interfaces);
  const on = new Set(attached);
  const looks = { prefilter: 0, pods: 0 };
  const attachments = new Attachments({
    log: pino({ level: "silent" }),
    kernel: {
      attachNetdev(name) {
        if (!there.has(name)) throw new Error(`Cannot attach to ${name}: no such interface`);
        const isNew = !on.has(name);
        on.add(name);
        return isNew;
      },
      detachNetdev: (name) => on.delete(name),
      netdevs: () => [...on].filter((name) => !name.startsWith("imk")),
      reattachEndpoint({ ifname }) {
        const isNew = !on.has(ifname);
        on.add(ifname);
        return isNew;
      },
    },
    prefilter: { lookAgain: () => void looks.prefilter++ },
    devices: ["eth0"],
    pods: { lookAtLinks: () => void looks.pods++, records: () => [POD] },
  });
  return { there, on, looks, attachments };
}

test("attaches to its devices, and lets go of those that an earlier agent had", () => {
  const { on, attachments } = world(["eth0", "eth1"], ["eth1", "imk7"]);
  attachments.start();
  expect([...on].sort()).toEqual(["eth0", "imk7"]);
});

test("attaches again what was lost, and says so while it cannot", () => {
  const { there, on, looks, attachments } = world(["eth0"], ["imk7"]);
  attachments.start();
  there.clear();
  on.clear();
  attachments.refresh();
  expect(attachments.troubles).toEqual([
    "--device eth0: its traffic is not judged: Cannot attach to eth0: no such interface",
  ]);
  there.add("eth0");
  attachments.refresh();
  expect([attachments.troubles, [...on].sort(), looks]).toEqual([
    [],
    ["eth0", "imk7"],
    { prefilter: 2, pods: 2 },
  ]);
});
