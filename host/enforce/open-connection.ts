/** A connection into the node that is open now, such as the one an operator works through. */
export interface OpenConnection {
  /** The other end. */
  peer: string;
  peerPort: number;
  /** The node's own address. */
  local: string;
  localPort: number;
}

/** As `ss` has it, from the other end to the node. */
export function connectionText({ peer, peerPort, local, localPort }: OpenConnection): string {
  return `${endText(peer, peerPort)} -> ${endText(local, localPort)}`;
}

function endText(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
