/**
 * The ways in which a network may cut the bytes of a vector. What comes of it must never depend on
 * them: whole; in equal pieces; every step cut once at each place (the first 64, then samples); and
 * at several places of all steps at random. Seeded, so a finding can be repeated.
 */
import type { Cut } from "./peer-pair.ts";
import type { VectorStep } from "./vectors.ts";

/** One way to cut; its name says which in a finding. */
export interface NamedCut {
  name: string;
  of: (step: number) => Cut;
}

const PIECES = [1, 2, 3, 5, 7, 13, 64, 1000, 16_384];
/** Places of a step that are all tried; beyond them it is samples. */
const PLACES_DENSE = 64;
const SAMPLES = 24;
/** Equal pieces of a long step make many calls. */
const CALLS_MAX = 4096;

export const WHOLE: NamedCut = { name: "in one piece", of: () => Number.POSITIVE_INFINITY };

/** All ways tried for these steps; the first is the whole. */
export function cutsOf(steps: readonly VectorStep[], random: () => number): NamedCut[] {
  const lengths = steps.map((step) => ("bytes" in step ? step.bytes.length : 0));
  const longest = Math.max(1, ...lengths);
  const cuts: NamedCut[] = [WHOLE];
  for (const piece of PIECES) {
    if (piece >= longest || longest / piece > CALLS_MAX) continue;
    cuts.push({ name: `in pieces of ${piece}`, of: () => piece });
  }
  lengths.forEach((length, step) => {
    for (const place of placesIn(length, random)) {
      cuts.push({
        name: `step ${step + 1} cut at byte ${place}`,
        of: (at) => (at === step ? [place] : Number.POSITIVE_INFINITY),
      });
    }
  });
  for (let sample = 0; sample < SAMPLES; sample++) cuts.push(randomCut(lengths, random));
  return cuts;
}

/** Every step cut at up to four places. */
export function randomCut(lengths: readonly number[], random: () => number): NamedCut {
  const places = lengths.map((length) => {
    const count = Math.floor(random() * 4) + 1;
    const chosen = Array.from({ length: count }, () => 1 + Math.floor(random() * length));
    return [...new Set(chosen)].filter((place) => place < length).sort((a, b) => a - b);
  });
  const name = places.flatMap((list, step) => (list.length > 0 ? [`${step + 1}:${list}`] : []));
  return { name: `steps cut at ${name.join(" ")}`, of: (step) => places[step] ?? [] };
}

function placesIn(length: number, random: () => number): number[] {
  const dense = Math.max(0, Math.min(length - 1, PLACES_DENSE));
  const places = Array.from({ length: dense }, (_, index) => index + 1);
  if (length <= PLACES_DENSE + 1) return places;
  for (let sample = 0; sample < SAMPLES; sample++) {
    places.push(PLACES_DENSE + 1 + Math.floor(random() * (length - PLACES_DENSE - 1)));
  }
  return [...new Set(places)];
}
