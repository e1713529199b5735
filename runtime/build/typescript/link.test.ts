/** What linking refuses. That it links is what every plugin in full TypeScript shows. */
import { expect, test } from "vitest";
import { guestComponent } from "../../isolate/guest-fixture.ts";
import { BuildError } from "../compile.ts";
import { linkComponent } from "./link.ts";

test("a component of another shape is refused by what it lacks", async () => {
  const component = await guestComponent({ imports: ["emit"] });
  const linked = linkComponent(component, []);
  await expect(linked).rejects.toThrow(BuildError);
  await expect(linked).rejects.toThrow("Cannot link the interpreter: no main module");
});

test("broken bytes are an error that says where", async () => {
  await expect(linkComponent(new Uint8Array(20).fill(255), [])).rejects.toThrow(/component, byte/);
});
