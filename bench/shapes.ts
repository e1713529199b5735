/**
 * The load shapes. `keepalive` is the one the goals are stated for; the others show where a proxy
 * spends its time: on one round trip, on many sockets, on parsing, on connecting, on copying.
 */
export interface Shape {
  name: string;
  connections: number;
  /** Bytes of a request's head, padded with headers; 0: as short as a plain client's. */
  headBytes: number;
  /** A new connection for every request. */
  reconnect: boolean;
  /** Bytes of a response's body. */
  bodyBytes: number;
}

const keepalive: Shape = {
  name: "keepalive",
  connections: 32,
  headBytes: 0,
  reconnect: false,
  bodyBytes: 64,
};

export const SHAPES: readonly Shape[] = [
  keepalive,
  { ...keepalive, name: "single", connections: 1 },
  { ...keepalive, name: "many", connections: 256 },
  { ...keepalive, name: "headers", headBytes: 700 },
  { ...keepalive, name: "reconnect", reconnect: true },
  { ...keepalive, name: "bulk", connections: 8, bodyBytes: 1024 * 1024 },
];

export function findShape(name: string): Shape | undefined {
  return SHAPES.find((shape) => shape.name === name);
}
