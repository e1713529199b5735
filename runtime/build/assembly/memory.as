// runtime/sdk/memory.ts in the sandbox: the same class over the real linear memory. The build puts
// this file in its place. `advance` is added to the collector by runtime/build/collector.ts.
import { advance } from "rt/itcms";

export class Memory {
  @inline u8(at: i32): i32 { return <i32>load<u8>(<usize>at); }
  @inline u16(at: i32): i32 { return <i32>load<u16>(<usize>at); }
  @inline i32(at: i32): i32 { return load<i32>(<usize>at); }
  @inline setU8(at: i32, value: i32): void { store<u8>(<usize>at, <u8>value); }
  @inline setU16(at: i32, value: i32): void { store<u16>(<usize>at, <u16>value); }
  @inline setI32(at: i32, value: i32): void { store<i32>(<usize>at, value); }
  @inline setU64(at: i32, value: f64): void { store<u64>(<usize>at, <u64>value); }
  @inline copy(to: i32, from: i32, length: i32): void { memory.copy(<usize>to, <usize>from, <usize>length); }
  @inline fill(at: i32, value: i32, length: i32): void { memory.fill(<usize>at, <u8>value, <usize>length); }

  equal(a: i32, b: i32, length: i32): bool {
    let i = 0;
    while (i + 8 <= length) {
      if (load<u64>(<usize>(a + i)) != load<u64>(<usize>(b + i))) return false;
      i += 8;
    }
    while (i < length) {
      if (load<u8>(<usize>(a + i)) != load<u8>(<usize>(b + i))) return false;
      i++;
    }
    return true;
  }

  find(from: i32, end: i32, byte: i32): i32 {
    let at = from;
    const pattern: u64 = <u64>(byte & 0xff) * 0x0101010101010101;
    while (at + 8 <= end) {
      const x = load<u64>(<usize>at) ^ pattern;
      const hit = (x - 0x0101010101010101) & ~x & 0x8080808080808080;
      if (hit != 0) return at + <i32>(ctz(hit) >> 3);
      at += 8;
    }
    while (at < end && <i32>load<u8>(<usize>at) != byte) at++;
    return at;
  }

  // Eight bytes at a time. The lowest flagged byte is exact: a borrow only flags bytes above it.
  findControl(from: i32, end: i32): i32 {
    let at = from;
    while (at + 8 <= end) {
      const x = load<u64>(<usize>at);
      const d = x ^ 0x7f7f7f7f7f7f7f7f;
      const low = (x - 0x2020202020202020) & ~x;
      const del = (d - 0x0101010101010101) & ~d;
      const hit = (low | del) & 0x8080808080808080;
      if (hit != 0) return at + <i32>(ctz(hit) >> 3);
      at += 8;
    }
    while (at < end) {
      const byte = <i32>load<u8>(<usize>at);
      if (byte < 32 || byte == 127) return at;
      at++;
    }
    return end;
  }

  allocate(length: i32): i32 { return <i32>heap.alloc(<usize>length); }
  release(at: i32): void { heap.free(<usize>at); }
  text(at: i32, length: i32): string { return String.UTF8.decodeUnsafe(<usize>at, <usize>length); }
  textBytes(text: string): i32 { return String.UTF8.byteLength(text); }
  setText(at: i32, text: string): void {
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, <usize>at);
  }

  @inline settle(): void { advance(); }
}
