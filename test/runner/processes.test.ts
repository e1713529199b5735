/**
 * A test run ends what it started: process groups, and daemons that left their group.
 */
import { expect, test, vi } from "vitest";
import { Processes } from "./processes.ts";

test("run() reports exit code and output", async () => {
  const processes = new Processes("/", `${process.pid}-run`);
  expect(await processes.run(["sh", "-c", "echo one; echo two >&2; exit 3"], false)).toMatchObject({
    code: 3,
    output: "one\ntwo\n",
  });
  expect(await processes.run(["/nowhere/at/all"], false)).toMatchObject({ code: undefined });
});

test("killAll() ends a running command and a daemon it detached", async () => {
  const processes = new Processes("/", `${process.pid}-kill`);
  const running = processes.run(["sh", "-c", "setsid sleep 61 & exec sleep 62"], true);
  const commands = (): string[] => processes.strays().map(({ command }) => command);
  // Until both have become what they were told to be.
  await vi.waitFor(() => expect(commands().sort()).toEqual(["sleep 61", "sleep 62"]), 10_000);
  processes.killAll();
  expect((await running).code).toBeUndefined();
  await vi.waitFor(() => expect(commands()).toEqual([]), 10_000);
});
