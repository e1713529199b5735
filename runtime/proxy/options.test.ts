import { describe, expect, test } from "vitest";
import { parseOptions } from "./options.ts";

describe("parseOptions()", () => {
  test("defaults", () => {
    expect(parseOptions(["--workers", "3"])).toEqual({
      runDir: "/var/run/imker",
      stateDir: "/var/lib/imker",
      bpffs: "/sys/fs/bpf/imker",
      workers: 3,
      listeners: [],
      stateFile: undefined,
      logLevel: "info",
    });
  });

  test("static listeners need no datapath", () => {
    const options = parseOptions([
      "--static",
      "127.0.0.1:80=10.0.0.1:8080",
      "--static",
      "[::1]:80=[fd00::2]:81,egress=4,ingress=5,source=6,destination=7",
    ]);
    expect(options?.bpffs).toBeUndefined();
    expect(options?.listeners).toEqual([
      {
        host: "127.0.0.1",
        port: 80,
        upstreamHost: "10.0.0.1",
        upstreamPort: 8080,
        sourceIdentity: 1000,
        destinationIdentity: 1001,
        egressRules: 0,
        ingressRules: 0,
      },
      {
        host: "::1",
        port: 80,
        upstreamHost: "fd00::2",
        upstreamPort: 81,
        sourceIdentity: 6,
        destinationIdentity: 7,
        egressRules: 4,
        ingressRules: 5,
      },
    ]);
  });

  test("help", () => {
    expect(parseOptions(["--help"])).toBeUndefined();
  });

  test.each([
    [["--nonsense"], /--nonsense/],
    [["--workers", "0"], /--workers 0: not 1 to 64/],
    [["--workers", "many"], /--workers many/],
    [["--static", "127.0.0.1:80"], /expected ADDRESS:PORT=ADDRESS:PORT/],
    [["--static", "localhost:80=127.0.0.1:81"], /expected ADDRESS/],
    [["--static", "127.0.0.1:99999=127.0.0.1:81"], /expected ADDRESS/],
    [["--static", "127.0.0.1:80=127.0.0.1:81,colour=1"], /what is "colour=1"/],
    [["--static", "127.0.0.1:80=127.0.0.1:81,egress=x"], /what is "egress=x"/],
  ])("%j is refused", (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});
