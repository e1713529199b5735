/**
 * The image of a component with the meter taken out again: the metered module, with every function
 * that came from the plugin given its own body back. Wrappers stay, so the same host runs it, and
 * the fuel of a call is set but never taken from. For measuring only; nothing stops such a plugin.
 */
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { ByteReader, ByteWriter } from "../../runtime/isolate/binary.ts";
import { type MeteredComponent, meterComponent } from "../../runtime/isolate/image.ts";
import type { PluginImage } from "../../runtime/isolate/types.ts";

const PREAMBLE_BYTES = 8;
const CODE_SECTION = 10;

export function prepareUnmetered(
  component: Uint8Array,
  plugin: { digest: string; manifest: Manifest },
): PluginImage {
  const metered = meterComponent(component, plugin.manifest);
  const module = new WebAssembly.Module(withoutMeter(metered));
  return { ...plugin, module, exports: metered.exports };
}

function withoutMeter({ bytes, source }: MeteredComponent): Uint8Array<ArrayBuffer> {
  const reader = new ByteReader(bytes, "metered module", PREAMBLE_BYTES);
  const out = new ByteWriter(bytes.length).raw(bytes, 0, PREAMBLE_BYTES);
  while (!reader.done) {
    const id = reader.u8();
    const section = reader.slice(reader.u32(), `section ${id}`);
    if (id !== CODE_SECTION) {
      out.section(id, (writer) => writer.raw(bytes, section.offset, section.end));
      continue;
    }
    // The meter keeps the order of functions and appends its own.
    const bodies = section.vector((index) => {
      const metered = section.slice(section.u32(), `function ${index}`);
      section.offset = metered.end;
      const { start, end } = source.bodies[index] ?? { start: 0, end: 0 };
      return end > start
        ? source.bytes.subarray(start, end)
        : bytes.subarray(metered.offset, metered.end);
    });
    out.section(id, (writer) => {
      writer.u32(bodies.length);
      for (const body of bodies) writer.u32(body.length).raw(body);
    });
  }
  return out.bytes().slice() as Uint8Array<ArrayBuffer>;
}
