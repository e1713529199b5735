/** Runs the cases of this folder without a test framework; exits 1 when one fails. */
import process from "node:process";
import { failureCases } from "./failure-cases.ts";
import { policyCases } from "./policy-cases.ts";
import { recordingCases } from "./recording-cases.ts";
import { Rig } from "./rig.ts";
import { streamCases } from "./stream-cases.ts";
import { trialCases } from "./trial-cases.ts";
import { versionCases } from "./version-cases.ts";

const CASES = [
  ...streamCases,
  ...policyCases,
  ...failureCases,
  ...trialCases,
  ...versionCases,
  ...recordingCases,
];
let failed = 0;
for (const { name, options, run } of CASES) {
  const rig = await Rig.start(options);
  try {
    await run(rig);
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}: ${error instanceof Error ? error.message : error}`);
  } finally {
    await rig.close();
  }
}
process.exit(failed === 0 ? 0 : 1);
