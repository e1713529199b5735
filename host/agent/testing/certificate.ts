/** Certificates as people make them, by openssl. */
import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";

/** A certificate of `name`, signed by itself, and its key, in PEM files of a folder. */
export function makeCertificate(
  folder: string,
  name: string,
  file = name,
): [certFile: string, keyFile: string] {
  const [cert, key] = [join(folder, `${file}.crt`), join(folder, `${file}.key`)];
  const args = [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-days", "1", "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`],
    ...["-keyout", key, "-out", cert],
  ];
  execFileSync("openssl", args, { stdio: "ignore" });
  chmodSync(key, 0o600);
  return [cert, key];
}
