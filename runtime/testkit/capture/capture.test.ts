/** Captures to conversations, whatever the network did to them, and through a plugin. */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openPlugin } from "../plugin-source.ts";
import { readCapture } from "./capture-file.ts";
import { frame, type PacketText, pcap, pcapng, SERVER_PORT } from "./packet-fixture.ts";
import { replayCapture } from "./replay.ts";
import { conversationsOf } from "./streams.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const OPEN: PacketText[] = [
  { request: true, sequence: 99, flags: ["syn"] },
  { request: false, sequence: 499, flags: ["syn", "ack"] },
];

function packet(request: boolean, sequence: number, text: string): PacketText {
  return { request, sequence, text, flags: ["ack"] };
}

function said(packets: readonly PacketText[], file = pcap, port?: number): string[] {
  const conversations = conversationsOf(readCapture(file(packets.map(frame))), port);
  return conversations.flatMap(({ client, server, steps, notes }) => [
    `${client} ${server}`,
    ...steps.map((step) => {
      if ("bytes" in step) return `${step.kind} ${Buffer.from(step.bytes).toString()}`;
      return step.kind === "end" ? `${step.direction} ${step.how}` : step.kind;
    }),
    ...notes,
  ]);
}

const ENDS = "10.0.0.1:40000 10.0.0.2:7000";

describe("conversationsOf()", () => {
  const plain = [...OPEN, packet(true, 100, "ab"), packet(false, 500, "xy")];
  const expected = [ENDS, "request ab", "response xy"];

  test.each([
    ["pcap", pcap],
    ["pcap, big-endian", (frames: readonly Uint8Array[]) => pcap(frames, false)],
    ["pcapng", pcapng],
  ])("reads %s", (_name, file) => {
    expect(said(plain, file)).toEqual(expected);
  });

  test.each<[string, PacketText[], string[]]>([
    [
      "segments out of order",
      [...OPEN, packet(true, 102, "cd"), packet(true, 104, "ef"), packet(true, 100, "ab")],
      [ENDS, "request ab", "request cd", "request ef"],
    ],
    [
      "segments sent again, also longer",
      [...OPEN, packet(true, 100, "ab"), packet(true, 100, "ab"), packet(true, 100, "abcd")],
      [ENDS, "request ab", "request cd"],
    ],
    [
      "sequence numbers that wrap",
      [
        { request: true, sequence: 0xffffffff, flags: ["syn"] },
        packet(true, 0, "ab"),
        packet(true, 2, "cd"),
      ],
      [ENDS, "request ab", "request cd"],
    ],
    [
      "a segment that never came",
      [...OPEN, packet(true, 100, "ab"), packet(true, 104, "ef"), packet(false, 500, "x")],
      [
        ENDS,
        "request ab",
        "response x",
        "a gap in direction request: 2 bytes behind it are left out",
      ],
    ],
    [
      "both ends",
      [
        ...OPEN,
        { request: true, sequence: 100, text: "ab", flags: ["fin", "ack"] },
        { request: false, sequence: 500, flags: ["rst"] },
      ],
      [ENDS, "request ab", "request closed", "response failed"],
    ],
    [
      "no beginning",
      [packet(false, 500, "xy"), packet(true, 100, "ab")],
      [ENDS, "response xy", "request ab", "the beginning was not captured"],
    ],
  ])("puts right: %s", (_name, packets, lines) => {
    expect(said(packets)).toEqual(lines);
  });

  test("IPv6 with an extension header, and other ports left out", () => {
    const six = plain.map((one) => ({ ...one, ipv6: true }));
    const [ends, ...rest] = said(six, pcap, SERVER_PORT);
    expect(ends).toBe("[0:0:0:0:0:0:0:1]:40000 [0:0:0:0:0:0:0:2]:7000");
    expect(rest).toEqual(expected.slice(1));
    expect(said(plain, pcap, 80)).toEqual([]);
  });

  test("a file that is cut, or none, is an error; a packet that is cut is left out", () => {
    const file = pcap(plain.map(frame));
    expect(() => [...readCapture(file.subarray(0, file.length - 3))]).toThrow(
      /at byte \d+: a packet is cut/,
    );
    expect(() => [...readCapture(Buffer.from("hello"))]).toThrow(/neither pcap nor pcapng/);
    const cut = plain.map((one) => frame(one).subarray(0, 30));
    expect(conversationsOf(readCapture(pcap(cut)))).toEqual([]);
  });
});

test("a replay runs both ways and judges by the rules given", { timeout: 60_000 }, async () => {
  const plugin = await openPlugin(ROOT, `${ROOT}examples/plugins/line`);
  const packets = [
    ...OPEN,
    packet(true, 100, "GET a\r\nSE"),
    packet(true, 109, "T a 1\r\n"),
    packet(false, 500, "VALUE 1\r\n"),
  ];
  const [one] = replayCapture(pcap(packets.map(frame)), plugin, {
    stages: [[{ command: "GET" }]],
    port: SERVER_PORT,
  });
  expect(one?.differences).toEqual([]);
  expect(one?.result).toMatchObject({
    upstream: "GET a\r\n",
    client: "VALUE 1\r\nDENIED\r\n",
    records: [
      "request 0 forwarded command=GET key=a",
      "request 1 denied by stage 0 command=SET key=a",
      "response 0 forwarded status=VALUE",
    ],
  });
});
