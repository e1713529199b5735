/** What is put in force, in which order, when policies name other prefixes than those before. */
import { expect, test } from "vitest";
import { createTestAllocator } from "../identity/testing/world.ts";
import { group } from "../policy/testing/policy-text.ts";
import { cnp, parse, repositoryOf, SUBJECT } from "../policy/testing/small-world.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { Planner } from "./planner.ts";
import { PolicyPlanning } from "./policy-planning.ts";
import { RuleSets } from "./rule-sets.ts";

function planningOf(): PolicyPlanning {
  const store = new SqliteStore(":memory:");
  const ruleSets = new RuleSets(store, {
    ...{ services: () => [], versions: () => [], digestsFor: () => [] },
    compile: (digest) => ({ digest, compiled: "", patterns: [] }),
  });
  const { allocator } = createTestAllocator();
  const planner = new Planner(store, ruleSets);
  return new PolicyPlanning({ identities: allocator, planner, subjects: () => [SUBJECT] });
}

test("prefixes are named under the old policies first, and forgotten after the new ones", async () => {
  const planning = planningOf();
  const seen: string[] = [];
  const use = async (
    { prefixes, endpoints }: Parameters<Parameters<PolicyPlanning["run"]>[1]>[0],
    revision: number,
  ): Promise<void> => {
    const rows = endpoints.map(({ content }) => content.count);
    seen.push(`${revision}: ${[...prefixes.keys()].sort().join(" ")} (${rows})`);
  };
  const wide = cnp("a", "ingress: [{fromCIDR: [10.0.0.0/8]}]");
  const except = cnp(
    "a",
    "ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}, {fromCIDRSet: [{cidrGroupRef: g}]}]",
  );
  const repository = repositoryOf(wide);
  for (const change of [
    () => {},
    () => repository.upsertAll(parse(except).documents),
    () => repository.upsertAll(parse(group("g", "10.1.2.0/24, 192.0.2.0/24")).documents),
    () => repository.upsertAll(parse(wide).documents),
  ]) {
    change();
    seen.push("change");
    await planning.check(repository);
    await planning.run(repository, use);
  }
  // One row is for any peer's egress; an identity stays in the maps for a while after its last row.
  expect(seen).toEqual([
    ...["change", "2: 10.0.0.0/8 (2)"],
    ...["change", "2: 10.0.0.0/8 10.1.0.0/16 (3)", "3: 10.0.0.0/8 10.1.0.0/16 (2)"],
    ...["change", "4: 10.0.0.0/8 10.1.0.0/16 10.1.2.0/24 192.0.2.0/24 (4)"],
    ...["change", "5: 10.0.0.0/8 10.1.2.0/24 192.0.2.0/24 (5)"],
  ]);
});
