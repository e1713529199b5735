/**
 * What the demo shows: pods, servers, policies, and requests with the results they must have. Pure
 * data; stage.ts builds it and run.ts judges it.
 */

export interface DemoPod {
  name: string;
  namespace: string;
  labels: Record<string, string>;
  ports?: { name: string; port: number; protocol: "TCP" }[];
  /** Port of its HTTP server, if it runs one. */
  serve?: number;
}

export const PODS: DemoPod[] = [
  {
    name: "web",
    namespace: "shop",
    labels: { app: "web" },
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    serve: 8080,
  },
  { name: "db", namespace: "shop", labels: { app: "db" }, serve: 5432 },
  { name: "frontend", namespace: "shop", labels: { app: "frontend" } },
  { name: "visitor", namespace: "shop", labels: { app: "visitor" } },
  { name: "suspect", namespace: "shop", labels: { app: "web", quarantine: "true" } },
  { name: "stranger", namespace: "other", labels: { app: "frontend" } },
];

/** The world: a namespace behind the node's outside interface (RFC 5737 and 3849 addresses). */
export const WORLD = {
  node4: "192.0.2.1",
  node6: "2001:db8:2::1",
  partner4: "192.0.2.10",
  partner6: "2001:db8:2::10",
  excepted4: "192.0.2.66",
  port: 8080,
} as const;

export const POLICY_FILES = ["shop-web.yaml", "shop-db.yaml", "shop-frontend-egress.yaml"];

/**
 * Result of one request: the HTTP status, `no answer` (dropped: the connection never opened),
 * `closed` (opened, then cut), or the address the server saw (`from …`).
 */
export interface DemoCheck {
  name: string;
  /** Pod name, or `world`. */
  from: string;
  /** Pod name, `partner` or `excepted`. */
  to: string;
  family: 4 | 6;
  port: number;
  path: string;
  method?: string;
  headers?: string[];
  /** Ask for the source address the server saw instead of the status. */
  askSource?: boolean;
  expected: string;
}

const NO_ANSWER = "no answer";

/** Shorthand for the many requests to web. */
const web = (
  name: string,
  from: string,
  path: string,
  expected: string,
  more: Partial<DemoCheck> = {},
): DemoCheck => ({ name, from, to: "web", family: 4, port: 8080, path, expected, ...more });

export const CHECKS: DemoCheck[] = [
  web("L7 allows GET /products", "frontend", "/products", "200"),
  web("L7 allows GET /products/7", "frontend", "/products/7", "200"),
  web("L7 allows it over IPv6", "frontend", "/products", "200", { family: 6 }),
  web("the server sees the pod's own address", "frontend", "/products", "from frontend", {
    askSource: true,
  }),
  web("the server sees it over IPv6", "frontend", "/products", "from frontend", {
    askSource: true,
    family: 6,
  }),
  web("L7 denies GET /admin", "frontend", "/admin", "403"),
  web("L7 denies it over IPv6", "frontend", "/admin", "403", { family: 6 }),
  web("L7 denies DELETE /products", "frontend", "/products", "403", { method: "DELETE" }),
  web("a path matches whole or not at all", "frontend", "/products/7/../../admin", "403"),
  web("L7 allows POST /orders with its header", "frontend", "/orders", "200", {
    method: "POST",
    headers: ["X-Shop: imker"],
  }),
  web("L7 denies POST /orders without it", "frontend", "/orders", "403", { method: "POST" }),
  web("L3 drops another pod", "visitor", "/products", NO_ANSWER),
  web("L3 drops equal labels of another namespace", "stranger", "/products", NO_ANSWER),
  web("L4 drops another port", "frontend", "/products", NO_ANSWER, { port: 9090 }),
  web("L7 allows the world GET /", "world", "/", "200"),
  web("L7 denies the world GET /products", "world", "/products", "403"),
  web("L7 denies the world over IPv6", "world", "/products", "403", { family: 6 }),
  {
    name: "L4 allows web to db",
    from: "web",
    to: "db",
    family: 4,
    port: 5432,
    path: "/",
    expected: "200",
  },
  {
    name: "L4 allows web to db over IPv6",
    from: "web",
    to: "db",
    family: 6,
    port: 5432,
    path: "/",
    expected: "200",
  },
  {
    name: "L4 drops visitor to db",
    from: "visitor",
    to: "db",
    family: 4,
    port: 5432,
    path: "/",
    expected: NO_ANSWER,
  },
  {
    name: "deny beats allow for the suspect",
    from: "suspect",
    to: "db",
    family: 4,
    port: 5432,
    path: "/",
    expected: NO_ANSWER,
  },
  {
    name: "egress L7 allows the partner's API",
    from: "frontend",
    to: "partner",
    family: 4,
    port: 8080,
    path: "/api/v1",
    expected: "200",
  },
  {
    name: "the partner sees the pod's own address",
    from: "frontend",
    to: "partner",
    family: 4,
    port: 8080,
    path: "/api/v1",
    askSource: true,
    expected: "from frontend",
  },
  {
    name: "egress L7 denies the rest of it",
    from: "frontend",
    to: "partner",
    family: 4,
    port: 8080,
    path: "/secret",
    expected: "403",
  },
  {
    name: "egress L4 allows the partner over IPv6",
    from: "frontend",
    to: "partner",
    family: 6,
    port: 8080,
    path: "/secret",
    expected: "200",
  },
  {
    name: "an excepted address is dropped",
    from: "frontend",
    to: "excepted",
    family: 4,
    port: 8080,
    path: "/api/v1",
    expected: NO_ANSWER,
  },
  {
    name: "egress drops what no rule names",
    from: "frontend",
    to: "db",
    family: 4,
    port: 5432,
    path: "/",
    expected: NO_ANSWER,
  },
  {
    name: "a pod without egress policy reaches the world",
    from: "visitor",
    to: "partner",
    family: 4,
    port: 8080,
    path: "/any",
    expected: "200",
  },
];

/** Applied after the first round, to show a live change: frontend may now also DELETE. */
export const LIVE_CHANGE = {
  find: "- method: POST\n                path: /orders",
  replace:
    "- method: DELETE\n                path: /products/[0-9]+\n              - method: POST\n                path: /orders",
  checks: [
    web("after a live change: DELETE /products/7", "frontend", "/products/7", "200", {
      method: "DELETE",
    }),
    web("after a live change: DELETE /admin", "frontend", "/admin", "403", { method: "DELETE" }),
  ],
} as const;
