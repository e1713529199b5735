/**
 * Fuel is linear in bytes: streams of the package's vectors, sent ahead or in turn, and of one byte
 * repeated, at doubling sizes. A parser that looks at everything again with each message shows
 * here, and so does one that only its budget stops.
 */
import { WHOLE } from "../cuts.ts";
import { SteadyRunner } from "../steady-runner.ts";
import type { Vector, VectorStep } from "../vectors.ts";
import { MeteredInstance, newMeter } from "./metered-instance.ts";
import type { Check, Subject } from "./types.ts";

const SIZES = [4, 8, 16, 32, 64, 128].map((kibibytes) => kibibytes * 1024);
/** From here on what a call costs at least no longer counts. */
const SIZE_COMPARED = 16 * 1024;
/**
 * Fuel for a byte at the largest size over that at 16 KiB. Linear is 1, quadratic is 8; what is
 * between is a collection here and there.
 */
const GROWTH_MAX = 2;
/** Less than this for a byte is what calls and memory cost, not the parser. */
const FUEL_PER_BYTE_MIN = 4;
const FINDINGS_MAX = 3;
/**
 * Bytes of responses over those of their requests, at most. Every request is answered at every
 * size, or the sizes could not be compared; with longer responses fewer requests are sent.
 */
const RESPONSE_RATIO_MAX = 8;
/** What the proxy shows at once of a direction is not much more. */
const PIECE_BYTES_MAX = 128 * 1024;

interface Measured {
  name: string;
  perByte: number[];
  failure: string | undefined;
}

export const fuelIsLinear: Check = {
  name: "fuel",
  run(subject) {
    const meter = newMeter();
    const streams = [
      ...subject.vectors.flatMap((vector) => [
        measure(subject, meter, `${vector.name}, sent ahead`, sentAhead(vector)),
        measure(subject, meter, `${vector.name}, in turn`, inTurn(vector)),
      ]),
      ...[0, 10, 32, 97, 255].map((byte) =>
        measure(subject, meter, `byte ${byte} repeated`, constant(byte)),
      ),
    ];
    const growths = streams.map((stream) => growthOf(stream));
    const worst = Math.max(...growths);
    const findings = streams.flatMap((stream, index) => {
      if (stream.failure !== undefined) return [`${stream.name}: ${stream.failure}`];
      const growth = growths[index] ?? 0;
      if (growth <= GROWTH_MAX) return [];
      return [`${stream.name}: ${stream.perByte.map((fuel) => fuel.toFixed(1)).join(", ")} a byte`];
    });
    const share = meter.budgetShareMax * 100;
    const perByte = Math.max(...streams.map((stream) => stream.perByte.at(-1) ?? 0));
    return {
      ok: findings.length === 0,
      detail:
        `at most ${perByte.toFixed(0)} a byte at 128 KiB, ${worst.toFixed(2)} times that at ` +
        `16 KiB (at most ${GROWTH_MAX}); a call at most ${share.toFixed(1)} % of its budget`,
      findings: findings.slice(0, FINDINGS_MAX),
      figures: { fuelPerByte: perByte, growth: worst, budgetShareMax: meter.budgetShareMax },
    };
  },
};

type StreamOf = (bytes: number) => Pick<Vector, "stages" | "steps">;

function measure(
  { image, instantiate }: Subject,
  meter: ReturnType<typeof newMeter>,
  name: string,
  streamOf: StreamOf,
): Measured {
  const { manifest } = image;
  const measured: Measured = { name, perByte: [], failure: undefined };
  for (const size of SIZES) {
    const own = newMeter();
    const runner = new SteadyRunner(
      manifest,
      (imports) => new MeteredInstance(instantiate(imports), manifest.limits, own),
    );
    const stream = streamOf(size);
    const result = runner.run(stream, WHOLE);
    if ("failure" in result) {
      measured.failure = `${size} bytes: ${result.failure}`;
      break;
    }
    measured.perByte.push(own.fuel / bytesOf(stream.steps));
    meter.budgetShareMax = Math.max(meter.budgetShareMax, own.budgetShareMax);
  }
  return measured;
}

function growthOf({ perByte }: Measured): number {
  const base = perByte[SIZES.indexOf(SIZE_COMPARED)];
  const last = perByte.at(-1);
  if (base === undefined || last === undefined) return 0;
  return last / Math.max(base, FUEL_PER_BYTE_MIN);
}

/** The vector's requests again and again, then all of their responses. */
function sentAhead(vector: Vector): StreamOf {
  const of = (kind: "request" | "response") =>
    Buffer.concat(vector.steps.map((step) => (step.kind === kind ? step.bytes : Buffer.alloc(0))));
  const request = of("request");
  const response = of("response");
  const ratioMax = request.length === 0 ? 1 : RESPONSE_RATIO_MAX;
  const length = Math.max(1, request.length, response.length / ratioMax);
  return (bytes) => {
    const times = Math.max(1, Math.floor(bytes / length));
    const steps = [...pieces("request", request, times), ...pieces("response", response, times)];
    return { stages: vector.stages, steps };
  };
}

function pieces(kind: "request" | "response", bytes: Buffer, times: number): VectorStep[] {
  if (bytes.length === 0) return [];
  const all = Buffer.alloc(bytes.length * times, bytes);
  return Array.from({ length: Math.ceil(all.length / PIECE_BYTES_MAX) }, (_, index) => {
    const start = index * PIECE_BYTES_MAX;
    return { kind, bytes: all.subarray(start, start + PIECE_BYTES_MAX) };
  });
}

/** The vector's steps again and again. */
function inTurn(vector: Vector): StreamOf {
  const steps = vector.steps.filter((step) => "bytes" in step);
  return (bytes) => {
    const times = Math.max(1, Math.floor(bytes / bytesOf(steps)));
    return { stages: vector.stages, steps: Array.from({ length: times }, () => steps).flat() };
  };
}

function constant(byte: number): StreamOf {
  return (bytes) => ({
    stages: [],
    steps: [{ kind: "request", bytes: Buffer.alloc(bytes, byte) }],
  });
}

function bytesOf(steps: readonly VectorStep[]): number {
  return Math.max(
    1,
    steps.reduce((sum, step) => sum + ("bytes" in step ? step.bytes.length : 0), 0),
  );
}
