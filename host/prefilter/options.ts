/** What the node's administrator chooses for the prefilter. */

export interface PrefilterOptions {
  /** Interfaces it stands on; none: those to the outside. */
  devices: string[];
  /** At most one drop event in this time, on each CPU. */
  eventMs: number;
}

const LOOPBACK = "lo";

/** Where packets of denied sources are dropped: never on the loopback. */
export function prefilterDevices(options: PrefilterOptions, outside: readonly string[]): string[] {
  const chosen = options.devices.length > 0 ? options.devices : outside;
  return [...new Set(chosen)].filter((device) => device !== LOOPBACK);
}

/** Does the option ask for what must not be? The answer says what. */
export function refusedDevice({ devices }: PrefilterOptions): string | undefined {
  if (!devices.includes(LOOPBACK)) return undefined;
  return "Cannot use --prefilter-device lo: the node must reach itself";
}
