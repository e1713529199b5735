/**
 * What the programs hang on, looked after while the agent runs: an interface may go and come again
 * under its name, and somebody may unpin a link. Where a program is missing nothing is enforced,
 * and nobody else would notice.
 */
import type { Logger } from "pino";
import type { EndpointRecord } from "../endpoint/types.ts";

export interface AttachmentsDeps {
  log: Logger;
  /** host/datapath. */
  kernel: {
    /** True: it was not attached there. @throws when there is no such interface. */
    attachNetdev(ifname: string): boolean;
    detachNetdev(ifname: string): boolean;
    /** Interfaces of the node that have a program. */
    netdevs(): string[];
    /** True: the pod's programs were not attached. */
    reattachEndpoint(endpoint: EndpointRecord): boolean;
  };
  prefilter: { lookAgain(): void };
  /** Of the node. */
  devices: readonly string[];
  pods: { lookAtLinks(): void; records(): readonly EndpointRecord[] };
}

export class Attachments {
  readonly #deps: AttachmentsDeps;
  #troubles: string[] = [];

  constructor(deps: AttachmentsDeps) {
    this.#deps = deps;
  }

  /** Attaches to the node's interfaces, and lets go of those that an earlier agent was given. */
  start(): void {
    const { kernel, devices, log } = this.#deps;
    for (const device of kernel.netdevs().filter((one) => !devices.includes(one))) {
      kernel.detachNetdev(device);
      log.warn({ device }, "its traffic is not judged any more: it is no --device");
    }
    for (const device of devices) kernel.attachNetdev(device);
  }

  /** Attaches again what has been lost. */
  refresh(): void {
    const { kernel, devices, prefilter, pods, log } = this.#deps;
    const before = this.#troubles;
    this.#troubles = devices.flatMap((device) => this.#lookAt(device));
    for (const trouble of this.#troubles) if (!before.includes(trouble)) log.error(trouble);
    prefilter.lookAgain();
    // First: an interface made anew then has its rows before it lets anything pass.
    pods.lookAtLinks();
    for (const pod of pods.records()) {
      if (!kernel.reattachEndpoint(pod)) continue;
      log.error({ endpoint: pod.id }, "its programs had been taken off; they are attached again");
    }
  }

  /** What is not judged though it should be; empty when all is well. */
  get troubles(): readonly string[] {
    return this.#troubles;
  }

  #lookAt(device: string): string[] {
    const { kernel, log } = this.#deps;
    try {
      const isNew = kernel.attachNetdev(device);
      if (isNew) log.warn({ device }, "it had no programs: it is new, or they had been taken off");
      return [];
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return [`--device ${device}: its traffic is not judged: ${reason}`];
    }
  }
}
