/** The pool's order, bounds and refusals. */
import { describe, expect, it } from "vitest";
import { AddressPool } from "./ipam.ts";

describe("AddressPool", () => {
  it("gives the lowest free address and takes released ones again", () => {
    const pool = new AddressPool("10.0.0.0/29");
    expect([1, 2, 3, 4].map(() => pool.take())).toEqual([
      "10.0.0.2",
      "10.0.0.3",
      "10.0.0.4",
      "10.0.0.5",
    ]);
    pool.release("10.0.0.3");
    expect(pool.take()).toBe("10.0.0.3");
    expect(pool.take()).toBe("10.0.0.6");
    expect(() => pool.take()).toThrow("pool 10.0.0.0/29 is full");
  });

  it("takes a wanted address once, in any spelling", () => {
    const pool = new AddressPool("fd00::/112");
    expect(pool.take("fd00:0::9")).toBe("fd00::9");
    expect(() => pool.take("fd00::9")).toThrow("it is taken");
    expect(() => pool.take("fd01::9")).toThrow("outside the pool");
    expect(() => pool.take("10.0.0.1")).toThrow("not an IPv6 address");
  });

  it.each(["10.0.0.0", "10.0.0.1", "10.0.0.255"])("keeps %s back", (address) => {
    expect(() => new AddressPool("10.0.0.0/24").take(address)).toThrow("keeps it back");
  });

  it.each(["10.0.0.0", "10.0.0.0/33", "10.0.0.0/31", "x/8", "fd00::/127"])("refuses %s", (cidr) => {
    expect(() => new AddressPool(cidr)).toThrow("Cannot use the pool");
  });
});
