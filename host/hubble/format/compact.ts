/** `hubble observe -o compact`: one line for each flow or loss. */
import type { Flow, LostEvent } from "../gen/flow/flow_pb.ts";
import type { GetFlowsResponse } from "../gen/observer/observer_pb.ts";
import {
  type FormatOptions,
  hostTexts,
  identityText,
  lossSourceText,
  lossText,
  summaryText,
  terminalSafe,
  timeText,
  typeText,
  verdictText,
} from "./flow-text.ts";

/** Without a line end. Empty for what has no line in this format (node status). */
export function formatCompact(response: GetFlowsResponse, options: FormatOptions = {}): string {
  const { responseTypes } = response;
  switch (responseTypes.case) {
    case "flow":
      return terminalSafe(flowLine(responseTypes.value, options));
    case "lostEvents":
      return terminalSafe(lossLine(response, responseTypes.value));
    default:
      return "";
  }
}

function flowLine(flow: Flow, options: FormatOptions): string {
  const [source, destination] = hostTexts(flow);
  const from = `${source} ${identityText(flow.source)}`;
  const to = `${destination} ${identityText(flow.destination)}`;
  const node = options.node === true ? ` [${flow.nodeName}]` : "";
  const what = `${typeText(flow)} ${verdictText(flow, options)} (${summaryText(flow)})`;
  return `${timeText(flow.time)}${node}: ${endsText(from, to, flow.isReply)} ${what}`;
}

/** A reply is shown in the direction of its connection. */
function endsText(from: string, to: string, isReply: boolean | undefined): string {
  if (isReply === undefined) return `${from} <> ${to}`;
  return isReply ? `${to} <- ${from}` : `${from} -> ${to}`;
}

function lossLine(response: GetFlowsResponse, loss: LostEvent): string {
  return `${timeText(response.time)} EVENTS LOST: ${lossSourceText(loss)} ${lossText(loss, " ")}`;
}
