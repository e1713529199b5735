/**
 * Field masks of a request: which parts of a flow to send. Paths are proto names under flow.Flow;
 * a mask without paths asks for everything.
 */
import { create, type DescMessage, type Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { type Flow, FlowSchema } from "./gen/flow/flow_pb.ts";
import { HubbleError } from "./hubble-error.ts";

const PATHS_MAX = 1_000;

/** A wanted field; without children all of it. */
interface MaskNode {
  readonly name: string;
  children: Map<string, MaskNode>;
  whole: boolean;
}

/** Copies the wanted parts; throws HubbleError when a path is not one of flow.Flow. */
export function compileFieldMask(mask: FieldMask | undefined): (flow: Flow) => Flow {
  const paths = mask?.paths ?? [];
  if (paths.length === 0) return (flow) => flow;
  if (paths.length > PATHS_MAX) throw invalidMask(`more than ${PATHS_MAX} paths`);
  const root: MaskNode = { name: "", children: new Map(), whole: false };
  for (const path of paths) addPath(root, path);
  return (flow) => {
    const masked = create(FlowSchema);
    copy(root, reflect(FlowSchema, flow), reflect(FlowSchema, masked));
    return masked;
  };
}

function addPath(root: MaskNode, path: string): void {
  let node = root;
  let message: DescMessage | undefined = FlowSchema;
  for (const name of path.split(".")) {
    const field: DescMessage["fields"][number] | undefined = message?.fields.find(
      (each) => each.name === name,
    );
    if (field === undefined) throw invalidMask(`${JSON.stringify(path)} is no path of a flow`);
    let child = node.children.get(name);
    if (child === undefined) {
      child = { name, children: new Map(), whole: false };
      node.children.set(name, child);
    }
    node = child;
    // Only the last part of a path may be repeated.
    message = field.fieldKind === "message" ? field.message : undefined;
  }
  node.whole = true;
}

function copy(node: MaskNode, from: ReflectMessage, to: ReflectMessage): void {
  for (const field of from.fields) {
    const child = node.children.get(field.name);
    if (child === undefined || !from.isSet(field)) continue;
    if (child.whole || field.fieldKind !== "message") {
      to.set(field, from.get(field));
      continue;
    }
    const part = reflect(field.message, create(field.message) as Message);
    copy(child, from.get(field), part);
    to.set(field, part);
  }
}

function invalidMask(reason: string): HubbleError {
  return new HubbleError(
    "invalid-argument",
    `Cannot use the field mask: invalid fieldmask: ${reason}`,
  );
}
