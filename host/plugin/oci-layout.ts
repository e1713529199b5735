/**
 * Packages in an OCI image layout (image-spec 1.1), a folder or a tar archive, which registries'
 * tools can copy to and from. Each package is an artifact whose one layer is the package's file.
 * Import looks at bytes that nobody has vouched for: sizes are bounded, every blob is checked
 * against its digest, names are never taken for paths.
 */
import { z } from "zod";
import { digestOf, PACKAGE_BYTES_MAX, readPackage } from "../../runtime/contract/package.ts";
import { type LayoutFiles, OciLayoutError, openLayout } from "./layout-files.ts";

export const ARTIFACT_TYPE = "application/vnd.imker.plugin.v1+wasm";
const LAYER_TYPE = "application/wasm";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
const EMPTY = Buffer.from("{}");
const LAYOUT = "oci-layout";
const INDEX = "index.json";
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

/**
 * Adds a package to the layout at `place` (layout-files.ts), which is made if it is not there. The
 * same package again changes nothing. Returns the name under which it stands, `NAME-VERSION`.
 * Throws OciLayoutError, PackageError, and what writing throws.
 */
export function exportPackage(place: string, file: Uint8Array): string {
  const { name, version } = readPackage(file).manifest;
  const reference = `${name}-${version}`;
  const layout = openLayout(place);
  try {
    layout.write(filesWith(layout, place, { file, name, version, reference }));
  } finally {
    layout.close();
  }
  return reference;
}

interface Exported {
  file: Uint8Array;
  name: string;
  version: string;
  reference: string;
}

/** Blobs first and the index last: who reads meanwhile finds all that it names. */
function filesWith(
  layout: LayoutFiles,
  place: string,
  { file, name, version, reference }: Exported,
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const addBlob = (content: Uint8Array, mediaType: string): Descriptor => {
    const digest = digestOf(content);
    files.set(blobPath(digest), content);
    return { mediaType, digest, size: content.length };
  };
  const annotations = { [TITLE]: name, [VERSION]: version };
  const layer = addBlob(file, LAYER_TYPE);
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: ARTIFACT_TYPE,
    config: { ...addBlob(EMPTY, EMPTY_TYPE), data: EMPTY.toString("base64") },
    layers: [{ ...layer, annotations: { [TITLE]: `${reference}.wasm` } }],
    annotations,
  };
  const entry: Descriptor = {
    ...addBlob(jsonBytes(manifest), MANIFEST_TYPE),
    artifactType: ARTIFACT_TYPE,
    annotations: { ...annotations, [REFERENCE]: reference },
  };
  const others = (layout.has(INDEX) ? readIndex(layout) : []).filter(
    (one) => one.annotations?.[REFERENCE] !== reference,
  );
  if (others.length >= PACKAGES_MAX) {
    throw new OciLayoutError(`Cannot export to ${place}: it has ${PACKAGES_MAX} manifests`);
  }
  files.set(LAYOUT, jsonBytes({ imageLayoutVersion: "1.0.0" }));
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [...others, entry] };
  files.set(INDEX, jsonBytes(index));
  return files;
}

/** The packages of a layout in its order, other artifacts left out. Throws OciLayoutError. */
export function importPackages(place: string): Uint8Array[] {
  const layout = openLayout(place);
  try {
    const found = packagesIn(layout);
    if (found.length > 0) return found;
  } finally {
    layout.close();
  }
  throw new OciLayoutError(`Cannot import ${place}: no ${ARTIFACT_TYPE} in it`);
}

function packagesIn(layout: LayoutFiles): Uint8Array[] {
  parse(layoutSchema, layout, LAYOUT);
  const found: Uint8Array[] = [];
  for (const entry of readIndex(layout)) {
    if (entry.mediaType !== MANIFEST_TYPE) continue;
    const name = layout.nameOf(blobPath(entry.digest));
    const manifest = json(name, readBlob(layout, entry, JSON_BYTES_MAX));
    const type = (manifest as { artifactType?: unknown } | null)?.artifactType;
    if (type !== ARTIFACT_TYPE) continue;
    const [layer] = checked(manifestSchema, name, manifest).layers;
    if (layer !== undefined) found.push(readBlob(layout, layer, PACKAGE_BYTES_MAX));
  }
  return found;
}

function readIndex(layout: LayoutFiles): Descriptor[] {
  return parse(indexSchema, layout, INDEX).manifests;
}

function blobPath(digest: string): string {
  return `blobs/sha256/${digest.slice("sha256:".length)}`;
}

function readBlob(layout: LayoutFiles, { digest, size }: Descriptor, bytesMax: number): Uint8Array {
  const path = blobPath(digest);
  const content = layout.read(path, bytesMax);
  if (content.length === size && digestOf(content) === digest) return content;
  const name = layout.nameOf(path);
  throw new OciLayoutError(`Cannot import ${name}: it is not what its descriptor says`);
}

function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function parse<T extends z.ZodType>(schema: T, layout: LayoutFiles, path: string): z.output<T> {
  const name = layout.nameOf(path);
  return checked(schema, name, json(name, layout.read(path, JSON_BYTES_MAX)));
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
