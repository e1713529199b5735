/** Captured traffic through a plugin: what it would say, and whether both ways say the same. */
import { WHOLE } from "../cuts.ts";
import { differences, type Result } from "../outcome-diff.ts";
import type { RunnablePlugin } from "../plugin-source.ts";
import type { VectorRules } from "../vectors.ts";
import { readCapture } from "./capture-file.ts";
import { conversationsOf } from "./streams.ts";

export interface Replayed {
  client: string;
  server: string;
  requestBytes: number;
  responseBytes: number;
  /** What the capture lacks. */
  notes: string[];
  result: Result;
  /** Between source and sandbox; always empty without source. */
  differences: string[];
}

export interface ReplayOptions {
  /** Only connections with this port, whose side serves. */
  port?: number;
  /** Rules of each stage; none: everything is allowed and reported. */
  stages: readonly VectorRules[];
}

/** Replays every conversation of a capture. Throws CaptureError. */
export function replayCapture(
  file: Uint8Array,
  plugin: RunnablePlugin,
  options: ReplayOptions,
): Replayed[] {
  return conversationsOf(readCapture(file), options.port).map(
    ({ client, server, steps, notes }) => {
      const traffic = { stages: options.stages, steps };
      const result = plugin.wasm.run(traffic, WHOLE);
      const native = plugin.native?.run(traffic, WHOLE);
      const bytes = (kind: "request" | "response") =>
        steps.reduce((sum, step) => sum + (step.kind === kind ? step.bytes.length : 0), 0);
      return {
        client,
        server,
        requestBytes: bytes("request"),
        responseBytes: bytes("response"),
        notes,
        result,
        differences: native === undefined ? [] : differences(native, result),
      };
    },
  );
}
