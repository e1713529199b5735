/** How a policy names a plugin: `NAME` follows activations, `NAME@VERSION` is pinned. */
export interface PluginReference {
  name: string;
  /** Pinned. */
  version?: string;
}

export function parsePluginReference(text: string): PluginReference {
  const at = text.indexOf("@");
  return at < 0 ? { name: text } : { name: text.slice(0, at), version: text.slice(at + 1) };
}

export function formatPluginReference({ name, version }: PluginReference): string {
  return version === undefined ? name : `${name}@${version}`;
}
