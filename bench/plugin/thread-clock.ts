/**
 * CPU time of this thread: what other programs on a busy machine take of the core does not count.
 */

/** The kernel brings a thread's account up to date when the thread leaves the core, so it does. */
const LEAVE_MS = 0.01;
const never = new Int32Array(new SharedArrayBuffer(4));

/** Microseconds of user and system time since `since` (an earlier answer), else since the start. */
export function threadCpuUs(since = 0): number {
  Atomics.wait(never, 0, 0, LEAVE_MS);
  const { user, system } = process.threadCpuUsage();
  return user + system - since;
}
