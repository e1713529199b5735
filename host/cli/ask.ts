/** A question to whoever sits at the terminal. */
import { createInterface } from "node:readline/promises";

/** Undefined where nobody does: then no question may keep a script waiting. */
export function terminalAsk(): ((question: string) => Promise<boolean>) | undefined {
  const { stdin: input, stderr: output } = process;
  if (!input.isTTY || !output.isTTY) return undefined;
  return async (question) => {
    const lines = createInterface({ input, output });
    try {
      return /^y(es)?$/i.test((await lines.question(question)).trim());
    } finally {
      lines.close();
    }
  };
}
