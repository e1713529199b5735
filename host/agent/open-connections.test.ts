/** The text of the kernel's tables, and those of this machine with a connection in them. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { expect, it } from "vitest";
import { openConnections } from "./open-connections.ts";

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";
const tcp4 = `${HEAD}   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000
   1: 0101000A:0016 0700A8C0:C822 01 00000000:00000000 02:000A7B1C 00000000     0
   2: 0101000A:D431 0700A8C0:01BB 01 00000000:00000000 02:000A7B1C 00000000     0
   3: 0101000A:0016 0800A8C0:C823 06 00000000:00000000 02:000A7B1C 00000000     0
`;
const tcp6 = `${HEAD}   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0
   1: 0000000000000000FFFF00000101000A:0050 0000000000000000FFFF00000900A8C0:1234 01 0
   2: B80D0120000000000000000001000000:0050 B80D0120000000000000000002000000:1235 01 0
junk
`;

it("finds what others have opened, and nothing else", () => {
  const found = openConnections((path) => (path.endsWith("6") ? tcp6 : tcp4));
  expect(found).toEqual([
    { local: "10.0.1.1", localPort: 22, peer: "192.168.0.7", peerPort: 51234 },
    { local: "10.0.1.1", localPort: 80, peer: "192.168.0.9", peerPort: 0x1234 },
    { local: "2001:db8::1", localPort: 80, peer: "2001:db8::2", peerPort: 0x1235 },
  ]);
});

it("finds a real one", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const accepted = once(server, "connection");
  const client = connect(port, "127.0.0.1");
  await accepted;
  expect(openConnections()).toContainEqual({
    ...{ local: "127.0.0.1", localPort: port },
    ...{ peer: "127.0.0.1", peerPort: client.localPort },
  });
  client.destroy();
  server.close();
});
