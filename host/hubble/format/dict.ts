/** `hubble observe -o dict`: a block of lines for each flow or loss. */
import type { GetFlowsResponse } from "../gen/observer/observer_pb.ts";
import {
  type FormatOptions,
  hostTexts,
  lossSourceText,
  lossText,
  summaryText,
  terminalSafe,
  timeText,
  typeText,
  verdictText,
} from "./flow-text.ts";

/** Between two blocks; the caller prints it before every block but the first. */
export const DICT_SEPARATOR = "------------";

/** Lines without the last line end. Empty for what has no block in this format (node status). */
export function formatDict(response: GetFlowsResponse, options: FormatOptions = {}): string {
  return rows(response, options)
    .map(([key, value]) => `${key.padStart(11)}: ${terminalSafe(value)}`)
    .join("\n");
}

function rows(response: GetFlowsResponse, options: FormatOptions): [key: string, value: string][] {
  const { responseTypes } = response;
  const node = (name: string): [string, string][] =>
    options.node === true ? [["NODE", name]] : [];
  switch (responseTypes.case) {
    case "flow": {
      const flow = responseTypes.value;
      const [source, destination] = hostTexts(flow);
      return [
        ["TIMESTAMP", timeText(flow.time)],
        ...node(flow.nodeName),
        ["SOURCE", source],
        ["DESTINATION", destination],
        ["TYPE", typeText(flow)],
        ["VERDICT", verdictText(flow, options)],
        ["SUMMARY", summaryText(flow)],
      ];
    }
    case "lostEvents":
      return [
        ["TIMESTAMP", timeText(response.time)],
        ...node(response.nodeName || "-"),
        ["SOURCE", lossSourceText(responseTypes.value)],
        ["TYPE", "EVENTS LOST"],
        ["VERDICT", "-"],
        ["SUMMARY", lossText(responseTypes.value, " - ")],
      ];
    default:
      return [];
  }
}
