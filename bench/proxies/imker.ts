import type { ProxyRow } from "./proxy.ts";
export const imkerRows: readonly ProxyRow[] = [];
