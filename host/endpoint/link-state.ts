/**
 * What has become of an endpoint's link: somebody may delete its interface or its namespace, or
 * make them anew, while the endpoint is still there. Says it in words that tell what to do.
 */
import { existsSync } from "node:fs";
import type { EndpointRecord, PodNetwork } from "./types.ts";

export interface LinkState {
  /** With the link as it is now. */
  record: EndpointRecord;
  /** Undefined: all is well. */
  trouble: string | undefined;
}

/** Puts an interface in order that was made anew. Never throws. */
export function lookAtLink(record: EndpointRecord, network: PodNetwork): LinkState {
  const { ifname, netns } = record;
  const help = `remove it with 'imker endpoint delete ${record.namespace}/${record.name}'`;
  const ifindex = network.find(ifname);
  if (ifindex === undefined) {
    const trouble = `its interface ${ifname} is gone, nothing reaches it or leaves it; ${help}`;
    return { record, trouble };
  }
  if (!existsSync(netns)) {
    const rest = "what runs in it goes on under its policies";
    return { record, trouble: `its network namespace ${netns} is gone, ${rest}; ${help}` };
  }
  if (ifindex === record.ifindex) return { record, trouble: undefined };
  try {
    return { record: { ...record, ...network.reconnect(record) }, trouble: undefined };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const trouble = `its interface ${ifname} is another one, nothing passes it; ${help}: ${reason}`;
    return { record, trouble };
  }
}
