/**
 * The host call that fails, whichever it is: the instance is poisoned and says so again, a fresh
 * one works, and nothing of the lost one is left. A plugin cannot do anything about it, but one
 * that kept state outside its instance shows here.
 */
import type { HostImports } from "../../isolate/types.ts";
import { WHOLE } from "../cuts.ts";
import { expectedOutcome } from "../index.ts";
import { differences } from "../outcome-diff.ts";
import { VectorRunner } from "../run-vector.ts";
import type { Check, Subject } from "./types.ts";

/** Host calls that are made to fail, one run for each. */
const CALLS_TRIED_MAX = 200;

class HostCallFailed extends Error {
  override readonly name = "HostCallFailed";
}

export const survivesHostTraps: Check = {
  name: "host-traps",
  run(subject) {
    const total = countCalls(subject);
    const tried = Math.min(total, CALLS_TRIED_MAX);
    const findings: string[] = [];
    for (let index = 0; index < tried; index++) {
      const call = 1 + Math.floor((index * total) / tried);
      const problem = failAt(subject, call);
      if (problem !== undefined) findings.push(`host call ${call}: ${problem}`);
    }
    const after = freshProblem(subject);
    if (after !== undefined) findings.push(after);
    return {
      ok: findings.length === 0,
      detail: `${tried} of ${total} host calls made to fail, a fresh instance after each`,
      findings: findings.slice(0, 3),
      figures: { calls: total, failed: tried },
    };
  },
};

/** Host imports that count, and fail at one call. */
function failing(imports: HostImports, state: { calls: number; failAt: number }): HostImports {
  const count = () => {
    state.calls++;
    if (state.calls === state.failAt) throw new HostCallFailed("the host call failed");
  };
  return {
    emit(record) {
      count();
      imports.emit(record);
    },
    log(level, message) {
      count();
      imports.log(level, message);
    },
    match(handle, bytes) {
      count();
      return imports.match(handle, bytes);
    },
  };
}

function countCalls({ image, vectors, instantiate }: Subject): number {
  const state = { calls: 0, failAt: 0 };
  const runner = new VectorRunner(image.manifest, (imports) =>
    instantiate(failing(imports, state)),
  );
  for (const vector of vectors) runner.run(vector, WHOLE.of);
  return state.calls;
}

function failAt({ image, vectors, instantiate }: Subject, call: number): string | undefined {
  const state = { calls: 0, failAt: call };
  const runner = new VectorRunner(image.manifest, (imports) =>
    instantiate(failing(imports, state)),
  );
  let failed = false;
  for (const vector of vectors) {
    try {
      runner.run(vector, WHOLE.of);
    } catch (error) {
      if (!(error instanceof HostCallFailed)) return String(error);
      failed = true;
      break;
    }
  }
  if (!failed) return "the failure was swallowed";
  try {
    runner.instance.onData(0, 0, new Uint8Array(1), 0, 1, 0, 0, 0);
    return "the instance answers after it";
  } catch (error) {
    return error instanceof HostCallFailed ? undefined : `the instance changed its mind: ${error}`;
  }
}

/** Why a fresh instance is not as the first one would have been. */
function freshProblem({ image, vectors, instantiate }: Subject): string | undefined {
  const runner = new VectorRunner(image.manifest, instantiate);
  for (const vector of vectors) {
    const [line] = differences(expectedOutcome(vector), runner.run(vector, WHOLE.of));
    if (line !== undefined) return `a fresh instance, ${vector.name}: ${line}`;
  }
  return undefined;
}
