/**
 * Schema of the peers of a rule: endpoints, address prefixes, entities, nodes, groups, services.
 */
import { z } from "zod";
import { parsePrefix, prefixContains } from "../../identity/cidr.ts";
import { acrossFields, itemsOf, textField, textOf } from "./field.ts";
import { fqdnSchema } from "./l7.ts";
import { dnsLabel, endpointSelectorSchema } from "./selector.ts";

const PREFIX_EXPECTED = "an address prefix such as 10.0.0.0/8 or fd00::/8";

export const cidrSchema = textField(PREFIX_EXPECTED, (value) =>
  parsePrefix(value) ? undefined : `unable to parse CIDR: ${JSON.stringify(value)}`,
);

/** Every exception must lie inside the prefix it is taken from, or leave some of it (`smaller`). */
export function exceptInside(prefixField: string, size: "smaller" | "any" = "any") {
  return acrossFields((fields, report) => {
    const allowed = textOf(fields[prefixField]);
    const outer = parsePrefix(allowed);
    if (!outer) return;
    for (const [index, value] of itemsOf(fields.except).entries()) {
      const inner = parsePrefix(textOf(value));
      if (!inner) continue;
      if (!prefixContains(outer, inner)) {
        const message = `allow CIDR prefix ${allowed} does not contain exclude CIDR prefix ${value}`;
        report(["except", index], message, `a prefix inside ${allowed}`);
      } else if (size === "smaller" && inner.length === outer.length) {
        const message = `must be a strict subset of ${allowed}`;
        report(["except", index], message, `a prefix inside ${allowed}, and longer`);
      }
    }
  });
}

const CIDR_FORMS = ["cidr", "cidrGroupRef", "cidrGroupSelector"];
const cidrRule = z
  .strictObject({
    cidr: cidrSchema.optional(),
    cidrGroupRef: z.string().min(1).max(253).optional(),
    cidrGroupSelector: endpointSelectorSchema.optional(),
    except: z.array(cidrSchema).optional(),
  })
  .check(
    acrossFields((fields, report) => {
      if (CIDR_FORMS.filter((form) => fields[form] !== undefined).length === 1) return;
      const expected = `one of ${CIDR_FORMS.join(", ")}`;
      report([], "exactly one of cidr, cidrGroupRef or cidrGroupSelector must be set", expected);
    }),
    exceptInside("cidr"),
  );
export type CidrRule = z.infer<typeof cidrRule>;

export const ENTITIES = [
  "all",
  "world",
  "cluster",
  "cluster-mesh",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
] as const;
export type Entity = (typeof ENTITIES)[number];

const entityText = (value: unknown): string =>
  typeof value === "string" ? value : JSON.stringify(value);

const entity = z
  .enum(ENTITIES, { error: ({ input }) => `unsupported entity: ${entityText(input)}` })
  .meta({ expected: `one of ${ENTITIES.join(", ")}` });

const awsGroup = z.strictObject({
  aws: z
    .strictObject({
      labels: z.record(z.string(), z.string()).optional(),
      securityGroupsIds: z.array(z.string()).optional(),
      securityGroupsNames: z.array(z.string()).optional(),
      region: z.string().optional(),
    })
    .optional(),
});

/** Without a namespace, services of that name in any. */
const SERVICE_FORMS = ["k8sService", "k8sServiceSelector"];
const service = z
  .strictObject({
    k8sService: z
      .strictObject({ serviceName: dnsLabel, namespace: dnsLabel.optional() })
      .optional(),
    k8sServiceSelector: z
      .strictObject({ selector: endpointSelectorSchema, namespace: dnsLabel.optional() })
      .optional(),
  })
  .check(
    acrossFields((fields, report) => {
      if (SERVICE_FORMS.filter((form) => fields[form] !== undefined).length === 1) return;
      const expected = `one of ${SERVICE_FORMS.join(", ")}`;
      report([], "exactly one of k8sService or k8sServiceSelector must be set", expected);
    }),
  );
export type ServicePeer = z.infer<typeof service>;

/** Null could mean either. */
const PEERS_EXPECTED = "a list: an empty one is nobody, and without the field it is anyone";
function peers<T extends z.ZodType>(peer: T) {
  return z.array(peer).optional().meta({ expected: PEERS_EXPECTED });
}

const endpoints = peers(endpointSelectorSchema);

export const ingressPeers = {
  fromEndpoints: endpoints,
  fromRequires: endpoints,
  fromCIDR: peers(cidrSchema),
  fromCIDRSet: peers(cidrRule),
  fromEntities: peers(entity),
  fromNodes: endpoints,
  fromGroups: peers(awsGroup),
};

export const egressPeers = {
  toEndpoints: endpoints,
  toRequires: endpoints,
  toCIDR: peers(cidrSchema),
  toCIDRSet: peers(cidrRule),
  toEntities: peers(entity),
  toNodes: endpoints,
  toGroups: peers(awsGroup),
  toServices: peers(service),
};

export const egressAllowPeers = {
  ...egressPeers,
  toFQDNs: peers(fqdnSchema),
};
