/** What componentize-qjs makes of `imker:l7/host` for the JavaScript inside. */
declare module "imker:l7/host@1.0.0" {
  type FieldValue = { tag: "number"; val: number } | { tag: "bytes"; val: Uint8Array };

  interface L7Record {
    kind: string;
    verdict: string;
    stage: number;
    exchange: number;
    fields: { key: number; value: FieldValue }[];
  }

  export function emit(connection: number, record: L7Record): void;
  export function log(level: string, message: string): void;
  export function match(handle: number, bytes: Uint8Array): boolean;
}

/** The author's project. */
declare module "imker:plugin" {
  export const createPlugin: import("../../../testkit/native.ts").CreatePlugin;
}
