/** The agent's store as the identity allocator wants it. */
import type { IdentityStore } from "../identity/store.ts";
import type { Store } from "./store.ts";

export function identityStore(store: Store): IdentityStore {
  return {
    get: async (key) => store.get(key)?.value,
    createIfAbsent: async (key, value) => store.compareAndSwap(key, 0, value) !== undefined,
    list: async (prefix) => store.list(prefix),
    delete: async (key) => store.delete(key),
  };
}
