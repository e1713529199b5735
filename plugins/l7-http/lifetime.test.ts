/** Many connections in one sandboxed instance: memory comes to rest, and open ones cost nothing. */
import { expect, test } from "vitest";
import { DIRECTION, END } from "../../runtime/isolate/types.ts";
import { builtImage, instantiateImage } from "../../runtime/testkit/built-plugin.ts";

const image = await builtImage(import.meta.dirname);
const address = new Uint8Array(16);
const request = Buffer.from("GET /%61/../b HTTP/1.1\r\nHost: web\r\n\r\n");
const response = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

function start() {
  const instance = instantiateImage(image, { emit() {}, log() {}, match: () => false });
  const ruleSet = instance.load(instance.compile([[]]));
  return {
    instance,
    open: () =>
      instance.open({
        sourceIdentity: 1,
        destinationIdentity: 2,
        sourceAddress: address,
        destinationAddress: address,
        sourcePort: 1,
        destinationPort: 80,
        stages: [{ point: 1, ruleSet }],
      }),
    exchange: (connection: number) => {
      instance.onData(connection, DIRECTION.request, request, 0, request.length, END.open, 0, 0);
      instance.onData(connection, DIRECTION.response, response, 0, response.length, END.open, 0, 0);
    },
  };
}

test("70,000 connections one after the other leave no memory behind", () => {
  const { instance, open, exchange } = start();
  const serve = (count: number) => {
    for (let index = 0; index < count; index++) {
      const connection = open();
      exchange(connection);
      instance.close(connection);
    }
  };
  serve(1000);
  const before = instance.memoryBytes;
  serve(69_000);
  expect(instance.memoryBytes).toBe(before);
});

test("2,000 connections at a time, again and again, come to rest", () => {
  const { instance, open, exchange } = start();
  const round = () => {
    const connections = Array.from({ length: 2000 }, open);
    for (const connection of connections) exchange(connection);
    for (const connection of connections) instance.close(connection);
  };
  for (let index = 0; index < 4; index++) round();
  const before = instance.memoryBytes;
  for (let index = 0; index < 12; index++) round();
  expect(instance.memoryBytes).toBe(before);
});

test("1,000 open connections add no fuel to a call", () => {
  const { instance, open, exchange } = start();
  const first = open();
  const fuelOf = () => {
    exchange(first);
    const before = instance.fuelUsed;
    exchange(first);
    return instance.fuelUsed - before;
  };
  const alone = fuelOf();
  for (let index = 0; index < 1000; index++) open();
  expect(fuelOf()).toBe(alone);
});

test("1,000 pipelined requests with paths to rewrite stay within the limits of a call", () => {
  const { instance, open } = start();
  const connection = open();
  const many = Buffer.concat(Array.from({ length: 1000 }, () => request));
  let at = 0;
  let calls = 0;
  while (at < many.length) {
    instance.onData(connection, DIRECTION.request, many, at, many.length - at, END.open, 0, 0);
    const { operations } = instance;
    for (let index = 0; index < operations.count; index++) {
      const kind = operations.kind[index];
      if (kind === 1 || kind === 2) at += operations.n[index] ?? 0;
    }
    calls++;
    expect(calls).toBeLessThanOrEqual(1000);
  }
  expect(at).toBe(many.length);
});
