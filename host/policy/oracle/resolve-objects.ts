/** Policies as objects to what one subject's map holds: all of the agent's way but the numbers. */
import { PolicyRepository, parsePolicyFile, type ResolvedPolicy, resolvePolicy } from "../index.ts";
import type { Yaml } from "./evaluate-labels.ts";
import {
  type ApiPlaces,
  FEATURES,
  NODE,
  namedPortsOf,
  type Pod,
  SOURCES,
  type WorldPeer,
  worldUnder,
} from "./world.ts";

/** @throws Error when one of them has an error or is refused: none is meant to. */
export function repositoryOf(objects: readonly Yaml[]): PolicyRepository {
  const repository = new PolicyRepository({ features: FEATURES, sources: SOURCES });
  if (objects.length > 0) repository.upsertAll(parse(objects));
  return repository;
}

export function parse(objects: readonly Yaml[]) {
  if (objects.length === 0) return [];
  const text = objects.map((object) => JSON.stringify(object)).join("\n---\n");
  const deps = { checkPattern: () => undefined, extendedProtocols: true };
  const { errors, documents } = parsePolicyFile(text, "random.yaml", deps);
  const [first] = errors;
  if (first) throw new Error(`Cannot read ${text}: ${first.path}: ${first.message}`);
  return documents;
}

/** With everybody that this subject may meet under these policies. */
export function resolveObjects(
  objects: readonly Yaml[],
  subject: Pod,
  api: ApiPlaces,
): { resolved: ResolvedPolicy; peers: WorldPeer[] } {
  const repository = repositoryOf(objects);
  const { identities, peers } = worldUnder(repository, api);
  const own = { endpoint: 1, ...subject, scope: subject === NODE ? "node" : "endpoint" } as const;
  return { resolved: resolvePolicy(repository, identities, own, { namedPortsOf }), peers };
}
