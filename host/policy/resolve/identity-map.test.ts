/** Values by identity number, as a Map would hold them. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { IdentityMap } from "./identity-map.ts";

/** Reserved, of the cluster, of this node, and the highest. */
const identity = fc.constantFrom(0, 1, 15, 16, 256, 257, 300, 65_535, (1 << 24) + 1, 0xffff_ffff);
const step = fc.record({ identity, value: fc.option(fc.nat(), { nil: undefined }) });
const sorted = <T>(entries: Iterable<[number, T]>): [number, T][] =>
  [...entries].sort(([a], [b]) => a - b);

test("is what a Map is", () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const plain = new Map<number, { value: number }>();
      const paged = new IdentityMap<{ value: number }>();
      for (const { identity, value } of steps) {
        if (value === undefined) {
          plain.delete(identity);
          paged.delete(identity);
        } else {
          plain.set(identity, { value });
          paged.set(identity, { value });
        }
        expect(paged.get(identity)).toEqual(plain.get(identity));
      }
      expect(paged.size).toBe(plain.size);
      expect(sorted(paged)).toEqual(sorted(plain));
      expect(sorted(paged.map(({ value }) => ({ value: value + 1 })))).toEqual(
        sorted(plain).map(([id, { value }]) => [id, { value: value + 1 }]),
      );
      paged.clear();
      expect([paged.size, [...paged.keys()]]).toEqual([0, []]);
    }),
  );
});
