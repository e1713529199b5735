/**
 * The number types of the portable subset, as TypeScript sees them. In the sandbox they are real
 * machine types; natively they are all `number`, so portable code keeps every value in range by
 * itself: an `i32` that overflows wraps in the sandbox and does not here.
 */
/** A 32-bit signed integer; also an address in `Memory`. */
declare type i32 = number;
/** A double: lengths and counts beyond 2^31 (exact to 2^53). */
declare type f64 = number;
/** A truth value. */
declare type bool = boolean;
