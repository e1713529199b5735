/**
 * One question that many ask at once, put to who answers it as rarely as can be: one is under way
 * and at most one waits behind it, however many ask. Nobody is given an answer to what was asked
 * before their own question, so nobody misses what they have just changed; nothing is kept.
 */
export function sharedAsk<T>(ask: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  const begin = (): Promise<T> => {
    next = undefined;
    const asked = ask().finally(() => {
      if (current === asked) current = undefined;
    });
    current = asked;
    return asked;
  };
  return () => {
    if (current === undefined) return begin();
    next ??= current.then(begin, begin);
    return next;
  };
}
