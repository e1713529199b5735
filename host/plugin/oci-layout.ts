/**
 * Packages in an OCI image layout (image-spec 1.1): a folder that registries' tools can copy to and
 * from. Each package is an artifact whose one layer is the package's file. Import looks at bytes
 * that nobody has vouched for: sizes are bounded, every blob is checked against its digest, names
 * are never taken for paths.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { digestOf, PACKAGE_BYTES_MAX, readPackage } from "../../runtime/contract/package.ts";

export const ARTIFACT_TYPE = "application/vnd.imker.plugin.v1+wasm";
const LAYER_TYPE = "application/wasm";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
const EMPTY = Buffer.from("{}");
/** Of a manifest or an index, and of packages in one layout. */
const JSON_BYTES_MAX = 1 << 20;
const PACKAGES_MAX = 256;

const TITLE = "org.opencontainers.image.title";
const VERSION = "org.opencontainers.image.version";
const REFERENCE = "org.opencontainers.image.ref.name";

const descriptor = z.looseObject({
  mediaType: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  size: z.number().int().min(0),
  artifactType: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
const layoutSchema = z.looseObject({ imageLayoutVersion: z.literal("1.0.0") });
const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(INDEX_TYPE).optional(),
  manifests: z.array(descriptor).max(PACKAGES_MAX),
});
const manifestSchema = z.looseObject({
  schemaVersion: z.literal(2),
  artifactType: z.literal(ARTIFACT_TYPE),
  layers: z.array(descriptor).length(1),
});

type Descriptor = z.output<typeof descriptor>;

/** The folder is no layout, or one that does not hold what it says. */
export class OciLayoutError extends Error {
  override readonly name = "OciLayoutError";
}

/**
 * Adds a package to the layout in `folder`, which is made if it is not there. The same package
 * again changes nothing. Returns the name under which it stands, `NAME-VERSION`. Throws
 * OciLayoutError, PackageError, and what writing throws.
 */
export function exportPackage(folder: string, file: Uint8Array): string {
  const { name, version } = readPackage(file).manifest;
  const reference = `${name}-${version}`;
  const annotations = { [TITLE]: name, [VERSION]: version };
  const layer = { ...writeBlob(folder, file, LAYER_TYPE) };
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: ARTIFACT_TYPE,
    config: { ...writeBlob(folder, EMPTY, EMPTY_TYPE), data: EMPTY.toString("base64") },
    layers: [{ ...layer, annotations: { [TITLE]: `${reference}.wasm` } }],
    annotations,
  };
  const entry: Descriptor = {
    ...writeBlob(folder, Buffer.from(JSON.stringify(manifest)), MANIFEST_TYPE),
    artifactType: ARTIFACT_TYPE,
    annotations: { ...annotations, [REFERENCE]: reference },
  };
  const others = (existsSync(join(folder, "index.json")) ? readIndex(folder) : []).filter(
    (one) => one.annotations?.[REFERENCE] !== reference,
  );
  if (others.length >= PACKAGES_MAX) {
    throw new OciLayoutError(`Cannot export to ${folder}: it has ${PACKAGES_MAX} manifests`);
  }
  writeWhole(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [...others, entry] };
  writeWhole(join(folder, "index.json"), JSON.stringify(index));
  return reference;
}

/** The packages of a layout in its order, other artifacts left out. Throws OciLayoutError. */
export function importPackages(folder: string): Uint8Array[] {
  parse(layoutSchema, join(folder, "oci-layout"));
  const found: Uint8Array[] = [];
  for (const entry of readIndex(folder)) {
    if (entry.mediaType !== MANIFEST_TYPE) continue;
    const path = blobPath(folder, entry.digest);
    const text = readBlob(folder, entry, JSON_BYTES_MAX);
    const manifest = json(path, text);
    const type = (manifest as { artifactType?: unknown } | null)?.artifactType;
    if (type !== ARTIFACT_TYPE) continue;
    const [layer] = checked(manifestSchema, path, manifest).layers;
    if (layer !== undefined) found.push(readBlob(folder, layer, PACKAGE_BYTES_MAX));
  }
  if (found.length > 0) return found;
  throw new OciLayoutError(`Cannot import ${folder}: no ${ARTIFACT_TYPE} in it`);
}

function readIndex(folder: string): Descriptor[] {
  return parse(indexSchema, join(folder, "index.json")).manifests;
}

function blobPath(folder: string, digest: string): string {
  return join(folder, "blobs", "sha256", digest.slice("sha256:".length));
}

function writeBlob(folder: string, content: Uint8Array, mediaType: string): Descriptor {
  const digest = digestOf(content);
  mkdirSync(join(folder, "blobs", "sha256"), { recursive: true });
  writeWhole(blobPath(folder, digest), content);
  return { mediaType, digest, size: content.length };
}

function writeWhole(path: string, content: Uint8Array | string): void {
  writeFileSync(`${path}.part`, content);
  renameSync(`${path}.part`, path);
}

function readBlob(folder: string, { digest, size }: Descriptor, bytesMax: number): Uint8Array {
  const path = blobPath(folder, digest);
  const content = readBounded(path, bytesMax);
  if (content.length === size && digestOf(content) === digest) return content;
  throw new OciLayoutError(`Cannot import ${path}: it is not what its descriptor says`);
}

/** Regular files only: a layout from elsewhere must not read others' files through links. */
function readBounded(path: string, bytesMax: number): Uint8Array {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    throw new OciLayoutError(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new OciLayoutError(`Cannot read ${path}: not a regular file`);
    if (stat.size > bytesMax) {
      throw new OciLayoutError(`Cannot read ${path}: ${stat.size} bytes, at most ${bytesMax}`);
    }
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

function parse<T extends z.ZodType>(schema: T, path: string): z.output<T> {
  return checked(schema, path, json(path, readBounded(path, JSON_BYTES_MAX)));
}

function json(path: string, content: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(content).toString("utf8"));
  } catch (cause) {
    throw new OciLayoutError(`Cannot read ${path}: not JSON`, { cause });
  }
}

function checked<T extends z.ZodType>(schema: T, path: string, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new OciLayoutError(`Cannot read ${path}: ${issue?.path.join(".")}: ${issue?.message}`);
}
