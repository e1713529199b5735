/**
 * What Hubble's flow has no field for: which plugin parsed a message, its own fields, its fault.
 * It travels in flow.Flow.extensions, in one of two forms. Clients written in Go refuse to print
 * JSON that holds an Any of a type they do not know, and the hubble command line knows only
 * well-known types: for such clients the same content goes as a google.protobuf.Struct.
 */
import { create, fromJson, type JsonObject, toJson } from "@bufbuild/protobuf";
import { type Any, anyPack, StructSchema } from "@bufbuild/protobuf/wkt";
import type { PluginFacts } from "./flow-facts.ts";
import { PluginInfoSchema } from "./gen/imker/flow/v1/plugin_pb.ts";

/** `plugin-info`: imker.flow.v1.PluginInfo. `struct`: the same fields for clients without it. */
export type ExtensionForm = "plugin-info" | "struct";

export function flowExtension(plugin: PluginFacts, form: ExtensionForm): Any {
  const info = create(PluginInfoSchema, plugin);
  if (form === "plugin-info") return anyPack(PluginInfoSchema, info);
  const json = toJson(PluginInfoSchema, info, { useProtoFieldName: true }) as JsonObject;
  return anyPack(StructSchema, fromJson(StructSchema, json));
}
