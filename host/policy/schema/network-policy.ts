/**
 * Schema of the Kubernetes NetworkPolicy (`networking.k8s.io/v1`). Unlike the Cilium kinds, null
 * is the same as absent, as the API server reads it.
 */
import { z } from "zod";
import { acrossFields, itemsOf } from "./field.ts";
import { metadataSchema } from "./metadata.ts";
import { cidrSchema, exceptInside } from "./peer.ts";
import { endPortSchema, isServiceName, parsePortNumber } from "./port.ts";
import { plainSelectorSchema } from "./selector.ts";

const PORT_EXPECTED = "a number from 1 to 65535 or a port name in lower case";

const port = z
  .strictObject({
    port: z.union([z.number(), z.string()]).nullish().meta({ expected: PORT_EXPECTED }),
    endPort: endPortSchema.nullish(),
    protocol: z.enum(["TCP", "UDP", "SCTP"]).nullish(),
  })
  .check(
    acrossFields((fields, report) => {
      const { port, endPort } = fields;
      if (typeof port === "string" && !(isServiceName(port) && port === port.toLowerCase())) {
        report(["port"], `${JSON.stringify(port)} is not a port name`, PORT_EXPECTED);
      }
      if (typeof port === "number" && !parsePortNumber(String(port))) {
        report(["port"], `${port} is not a port number`, PORT_EXPECTED);
      }
      if (typeof endPort === "number" && (typeof port !== "number" || endPort < port)) {
        report(["endPort"], "must not be below port, which must be a number", "port or above");
      }
    }),
  );
export type NetworkPolicyPort = z.infer<typeof port>;

const ipBlock = z
  .strictObject({ cidr: cidrSchema, except: z.array(cidrSchema).nullish() })
  .check(exceptInside("cidr", "smaller"));

const peer = z
  .strictObject({
    podSelector: plainSelectorSchema.nullish(),
    namespaceSelector: plainSelectorSchema.nullish(),
    ipBlock: ipBlock.nullish(),
  })
  .check(
    acrossFields((fields, report) => {
      const selects = (fields.podSelector ?? fields.namespaceSelector ?? undefined) !== undefined;
      const block = (fields.ipBlock ?? undefined) !== undefined;
      if (selects === block) {
        const message = block
          ? "ipBlock may not be combined with podSelector or namespaceSelector"
          : "must specify a peer";
        report([], message, "podSelector and/or namespaceSelector, or ipBlock");
      }
    }),
  );
export type NetworkPolicyPeer = z.infer<typeof peer>;

const ports = z.array(port).nullish();
const spec = z
  .strictObject({
    podSelector: plainSelectorSchema.nullish(),
    ingress: z.array(z.strictObject({ from: z.array(peer).nullish(), ports })).nullish(),
    egress: z.array(z.strictObject({ to: z.array(peer).nullish(), ports })).nullish(),
    policyTypes: z.array(z.enum(["Ingress", "Egress"])).nullish(),
  })
  .check(
    acrossFields((fields, report) => {
      if (itemsOf(fields.policyTypes).length > 2) {
        report(["policyTypes"], "may not specify more than two policyTypes", "Ingress, Egress");
      }
    }),
  );
export type NetworkPolicySpec = z.infer<typeof spec>;

export const networkPolicySchema = z.strictObject({
  apiVersion: z.literal("networking.k8s.io/v1"),
  kind: z.literal("NetworkPolicy"),
  metadata: metadataSchema,
  // The API server reads an absent one as an empty one: every pod of the namespace, closed.
  spec: spec.nullish(),
  status: z.unknown().optional(),
});
