// runtime/sdk/host.ts in the sandbox: the imports of `imker:l7/host@1.0.0`, canonical ABI.
@external("imker:l7/host@1.0.0", "emit")
declare function hostEmit(connection: i32, kind: i32, verdict: i32, stage: i32, exchange: i32, fields: i32, count: i32): void;
@external("imker:l7/host@1.0.0", "log")
declare function hostLog(level: i32, message: i32, length: i32): void;
@external("imker:l7/host@1.0.0", "match")
declare function hostMatch(handle: i32, bytes: i32, length: i32): i32;

export class Host {
  @inline emit(connection: i32, kind: i32, verdict: i32, stage: i32, exchange: i32, fields: i32, count: i32): void {
    hostEmit(connection, kind, verdict, stage, exchange, fields, count);
  }
  @inline log(level: i32, message: i32, length: i32): void { hostLog(level, message, length); }
  @inline match(handle: i32, bytes: i32, length: i32): bool { return hostMatch(handle, bytes, length) != 0; }
}
