/**
 * `-o json`: protojson with proto field names, one GetFlowsResponse a line, and back. The registry
 * knows the two forms of the extension that our flows carry.
 */
import { createRegistry, fromJsonString, toJson } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { PluginInfoSchema } from "../gen/imker/flow/v1/plugin_pb.ts";
import { type GetFlowsResponse, GetFlowsResponseSchema } from "../gen/observer/observer_pb.ts";

const REGISTRY = createRegistry(PluginInfoSchema, StructSchema);

/** Without a line end. */
export function formatJson(response: GetFlowsResponse): string {
  const json = toJson(GetFlowsResponseSchema, response, {
    useProtoFieldName: true,
    registry: REGISTRY,
  });
  return JSON.stringify(json);
}

/** Throws when the line is not a GetFlowsResponse; fields of newer servers are ignored. */
export function parseJson(line: string): GetFlowsResponse {
  return fromJsonString(GetFlowsResponseSchema, line, {
    ignoreUnknownFields: true,
    registry: REGISTRY,
  });
}
