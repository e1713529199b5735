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

/** Every exception must lie inside the prefix it is taken from. */
export function exceptInside(prefixField: string) {
  return acrossFields((fields, report) => {
    const allowed = textOf(fields[prefixField]);
    const outer = parsePrefix(allowed);
    if (!outer) return;
    for (const [index, value] of itemsOf(fields.except).entries()) {
      const inner = parsePrefix(textOf(value));
      if (!inner || prefixContains(outer, inner)) continue;
      const message = `allow CIDR prefix ${allowed} does not contain exclude CIDR prefix ${value}`;
      report(["except", index], message, `a prefix inside ${allowed}`);
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

const entity = z
  .enum(ENTITIES, { error: (issue) => `unsupported entity: ${String(issue.input)}` })
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

const endpoints = z.array(endpointSelectorSchema).optional();

export const ingressPeers = {
  fromEndpoints: endpoints,
  fromRequires: endpoints,
  fromCIDR: z.array(cidrSchema).optional(),
  fromCIDRSet: z.array(cidrRule).optional(),
  fromEntities: z.array(entity).optional(),
  fromNodes: endpoints,
  fromGroups: z.array(awsGroup).optional(),
};

export const egressPeers = {
  toEndpoints: endpoints,
  toRequires: endpoints,
  toCIDR: z.array(cidrSchema).optional(),
  toCIDRSet: z.array(cidrRule).optional(),
  toEntities: z.array(entity).optional(),
  toNodes: endpoints,
  toGroups: z.array(awsGroup).optional(),
  toServices: z.array(service).optional(),
};

export const egressAllowPeers = {
  ...egressPeers,
  toFQDNs: z.array(fqdnSchema).optional(),
};
