/**
 * Keys as files: a new pair for an operator, and the machine key with which the agent vouches for
 * the plugins of its own tree. A file that is there is never overwritten.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateKey, type KeyPair, readPrivateKey } from "./signing.ts";

export interface KeyFiles {
  id: string;
  /** NAME.pem, readable by its owner only. */
  privateFile: string;
  /** NAME.pub.pem */
  publicFile: string;
}

/** Writes a new pair into `folder`. Throws (`EEXIST`) when one of the files is there. */
export function writeKeyPair(folder: string, name: string): KeyFiles {
  const pair = generateKey();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const privateFile = join(folder, `${name}.pem`);
  const publicFile = join(folder, `${name}.pub.pem`);
  writeFileSync(privateFile, pair.privatePem, { flag: "wx", mode: 0o600 });
  writeFileSync(publicFile, pair.publicPem, { flag: "wx", mode: 0o644 });
  return { id: pair.id, privateFile, publicFile };
}

/** The private key in `<stateDir>/keys/machine.pem`, made on first use. Throws KeyError. */
export function machineKey(stateDir: string): ReturnType<typeof readPrivateKey> {
  const folder = join(stateDir, "keys");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, "machine.pem");
  const fresh: KeyPair = generateKey();
  try {
    writeFileSync(file, fresh.privatePem, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return readPrivateKey(readFileSync(file, "utf8"));
}
