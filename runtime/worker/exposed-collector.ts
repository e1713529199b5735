/** V8's garbage collector as a function, for the few moments when it surely pays. */

/** Nothing happens in a process that was started without --expose-gc. */
export function exposedCollector(): () => void {
  const { gc } = globalThis as { gc?: () => void };
  return gc ?? (() => {});
}
