/**
 * What full TypeScript costs: l7-http once more, the same source in QuickJS in the sandbox, given
 * the request that the compiled one is measured with; its instance and its package.
 */
import { join } from "node:path";
import { buildPlugin } from "../../runtime/build/build.ts";
import { instantiate, prepareImage } from "../../runtime/isolate/index.ts";
import { summarize } from "../stats.ts";
import { atMost, type Figure } from "./figure.ts";
import { BusyConnection, RecordCount, SUBJECT, type Subject } from "./subject.ts";

const GOAL_US = 2_000;
const GOAL_INSTANCE_KIB = 4 * 1024;
const GOAL_PACKAGE_BYTES = 2 * 1024 * 1024;
const BYTES_PER_KIB = 1_024;
const NS_PER_US = 1_000;
/** What compiled it does for 4 million takes the interpreter more: docs/plugins/typescript.md. */
const FUEL_BASE = 120_000_000;

/** `batches` of 512 requests each; the first is not counted. */
export async function interpreted(
  root: string,
  { compiled }: Subject,
  batches: number,
  progress: (line: string) => void,
): Promise<Figure[]> {
  const folder = join(root, "plugins", SUBJECT);
  const { component, file, manifest } = await buildPlugin(root, folder, { language: "typescript" });
  const started = performance.now();
  const limits = { ...manifest.limits, fuelBase: FUEL_BASE };
  const image = prepareImage(component, {
    digest: "sha256:0",
    manifest: { ...manifest, limits },
  });
  progress(`interpreted ${SUBJECT}: made ready in ${(performance.now() - started).toFixed(0)} ms`);
  const host = new RecordCount();
  const instance = instantiate(image, host);
  const connection = new BusyConnection(instance, host, compiled);
  const costs = Array.from({ length: batches + 1 }, () => connection.batch() / NS_PER_US).slice(1);
  const kibibytes = instance.memoryBytes / BYTES_PER_KIB;
  return [
    atMost(GOAL_US, "interpreted_request_us", summarize(costs).median, "us"),
    atMost(GOAL_INSTANCE_KIB, "interpreted_instance_kib", kibibytes, "KiB"),
    atMost(GOAL_PACKAGE_BYTES, "interpreted_package_bytes", file.length, "bytes"),
  ];
}
