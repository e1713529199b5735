/// <reference path="./portable.d.ts" />
/**
 * What a plugin may ask of the host, run natively: calls go to the handlers of whoever runs it
 * (runtime/testkit/native.ts). In the sandbox the build replaces this file by
 * runtime/build/assembly/host.as, the imports of `imker:l7/host`. Addresses point into `Memory`.
 */

/** The other side of the three imports, with the flat parameters of the canonical ABI. */
export interface HostHandlers {
  emit(
    connection: i32,
    kind: i32,
    verdict: i32,
    stage: i32,
    exchange: i32,
    fields: i32,
    count: i32,
  ): void;
  log(level: i32, message: i32, length: i32): void;
  match(handle: i32, bytes: i32, length: i32): bool;
}

export class Host {
  private readonly handlers: HostHandlers;

  constructor(handlers: HostHandlers) {
    this.handlers = handlers;
  }

  /** Reports a record; `fields` is an array of 24-byte `field` records (records.ts writes it). */
  emit(
    connection: i32,
    kind: i32,
    verdict: i32,
    stage: i32,
    exchange: i32,
    fields: i32,
    count: i32,
  ): void {
    this.handlers.emit(connection, kind, verdict, stage, exchange, fields, count);
  }

  /** Writes UTF-8 text to the plugin's log. Level: 0 debug, 1 info, 2 warn, 3 error. */
  log(level: i32, message: i32, length: i32): void {
    this.handlers.log(level, message, length);
  }

  /** Full match of bytes against the pattern behind a handle, in linear time. */
  match(handle: i32, bytes: i32, length: i32): bool {
    return this.handlers.match(handle, bytes, length);
  }
}
