/**
 * A node's datapath as a process of its own, so that tests can run it in a network namespace and
 * kill it. Reads one JSON call a line, {target, method, args}, answers one JSON line. Arguments: bpffs folder,
 * prefix of interface names, and map versions as JSON.
 */
import { createInterface } from "node:readline";
import { loadNative } from "../../native/index.ts";
import { createDatapath, createPodNetwork } from "../index.ts";
import { readRows } from "../maps.ts";
import type { DatapathEvent, PolicyMapEntry } from "../types.ts";
import { packPolicy } from "./policy.ts";

const [bpffs = "", prefix = "", mapVersions = "{}"] = process.argv.slice(2);
const datapath = createDatapath({ bpffs, mapVersions: JSON.parse(mapVersions) });
const network = createPodNetwork(prefix);
const targets: Record<string, object> = {
  datapath,
  network,
  test: {
    events: () => {
      const events: DatapathEvent[] = [];
      datapath.readEvents(10_000, (event) => events.push(event));
      return events;
    },
    /** As the agent does it: a whole map, then live connections look again. */
    policy: async (endpoint: number, entries: PolicyMapEntry[]) => {
      const filled = await datapath.fillPolicy(packPolicy(entries));
      await datapath.placePolicies([{ endpoint, filled }]);
      datapath.bumpEpoch();
    },
    /** As if the kernel had evicted every connection. */
    forgetCt: () => {
      const native = loadNative();
      const ct = native.objectGet(`${bpffs}/maps/ct@1`) ?? -1;
      for (const { key } of readRows(native, ct)) native.mapDelete(ct, key);
      native.closeFd(ct);
    },
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { target, method, args } = JSON.parse(line);
  let answer: object;
  try {
    const object = targets[target] ?? {};
    const result = await Reflect.get(object, method).apply(object, args);
    answer = { result: result ?? null };
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) };
  }
  const text = JSON.stringify(answer, (_key, value) =>
    typeof value === "bigint" ? value.toString() : value,
  );
  process.stdout.write(`${text}\n`);
}
