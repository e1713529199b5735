/**
 * Looks, before a change of policies is accepted, which open connections into the node it would
 * cut: an operator may be on one of them. Connections that are cut already do not count, nor do
 * those that the node itself has opened.
 */
import { type IdentityKind, identityKind } from "../identity/ranges.ts";
import { IDENTITY } from "../identity/reserved.ts";
import { policyKeyText } from "../policy/document.ts";
import type { PolicyDecision, PolicyRepository } from "../policy/index.ts";
import type { PolicyOrigin } from "../policy/types.ts";
import { connectionText, type OpenConnection } from "./open-connection.ts";
import type { NodeJudge } from "./policy-planning.ts";
import { PrefixTable } from "./prefix-table.ts";

/** What the guard looks at, as it is now. */
export interface NodeConnections {
  /** TCP connections that others have opened to a port where somebody listens. */
  open(): OpenConnection[];
  /** What the kernel takes addresses for. */
  ipcache(): { prefix: string; identity: number }[];
  /** Whether the node's policy sees what comes from outside; else it sees pods only. */
  policesOutside: boolean;
}

/** A connection that a change would cut. */
export interface CutConnection extends OpenConnection {
  /** The caller says that it is the one he came by. */
  isCallers: boolean;
  /** For people: which policies are the reason, and how. */
  reason: string;
}

export interface LockoutGuardDeps extends NodeConnections {
  judge: (repository: PolicyRepository) => Promise<NodeJudge | undefined>;
}

const TCP = 6;
const POLICIES_NAMED_MAX = 3;
/** Of identities that pods have. */
const POD_KINDS: ReadonlySet<IdentityKind> = new Set(["cluster", "well-known", "user-reserved"]);

export class LockoutGuard {
  readonly #deps: LockoutGuardDeps;

  constructor(deps: LockoutGuardDeps) {
    this.#deps = deps;
  }

  /**
   * What `candidate` would cut that `current` lets pass, the caller's own first. `callers`: the
   * connection by which the change has come, if the caller knows it.
   */
  async cutBy(
    candidate: PolicyRepository,
    current: PolicyRepository,
    callers: OpenConnection | undefined,
  ): Promise<CutConnection[]> {
    if (!hasNodeRules(candidate)) return [];
    const wanted = await this.#deps.judge(candidate);
    if (wanted === undefined) return [];
    const rows = this.#deps.ipcache();
    const known = new PrefixTable(rows);
    const open = distinct([...(callers ? [callers] : []), ...this.#deps.open()]).filter(
      ({ local, peer }) => isOwn(local, known) && this.#isPoliced(peer, known),
    );
    const refused = decideAll(wanted, open, rows).filter(isDenied);
    if (refused.length === 0) return [];
    const now = await this.#deps.judge(current);
    const cut = refused.map(({ connection }) => connection);
    const already = new Set(
      (now === undefined ? [] : decideAll(now, cut, rows).filter(isDenied)).map(
        ({ connection }) => connection,
      ),
    );
    return refused
      .filter(({ connection }) => !already.has(connection))
      .map(({ connection, decision }) => ({
        ...connection,
        isCallers: connection === callers,
        reason: reasonOf(decision, candidate),
      }));
  }

  /** What the node says to itself is never judged. */
  #isPoliced(peer: string, known: PrefixTable): boolean {
    const identity = known.identityOf(peer);
    if (identity === IDENTITY.host || /^(127\.|::1$)/.test(peer)) return false;
    return this.#deps.policesOutside || POD_KINDS.has(identityKind(identity));
  }
}

function isOfWorld(identity: number): boolean {
  const { worldIpv4, worldIpv6 } = IDENTITY;
  return identity === worldIpv4 || identity === worldIpv6 || identityKind(identity) === "local";
}

interface Decided {
  connection: OpenConnection;
  decision: PolicyDecision;
}

function decideAll(
  judge: NodeJudge,
  connections: readonly OpenConnection[],
  rows: readonly { prefix: string; identity: number }[],
): Decided[] {
  const named = [...judge.prefixes].map(([prefix, identity]) => ({ prefix, identity }));
  // Rows of the world are those of the policies in force; of equal prefixes others are stronger.
  const inside = rows.filter(({ identity }) => !isOfWorld(identity));
  const table = new PrefixTable([...inside, ...named]);
  return connections.map((connection) => {
    const identity = table.identityOf(connection.peer);
    const port = connection.localPort;
    const packet = { direction: "ingress", identity, protocol: TCP, port } as const;
    return { connection, decision: judge.decide(packet) };
  });
}

const isDenied = ({ decision }: Decided): boolean =>
  decision.verdict === "deny" || decision.verdict === "drop";

/** For people: the first of them, and how many more there are. */
export function cutText(cuts: readonly CutConnection[]): string {
  const [first] = cuts;
  if (first === undefined) return "";
  const own = first.isCallers ? ", by which you came" : "";
  const more = cuts.length > 1 ? `, and ${cuts.length - 1} more` : "";
  return `the connection ${connectionText(first)}${own} (${first.reason})${more}`;
}

function hasNodeRules(repository: PolicyRepository): boolean {
  for (const { scope } of repository.rules()) if (scope === "node") return true;
  return false;
}

function distinct(connections: readonly OpenConnection[]): OpenConnection[] {
  const byText = new Map<string, OpenConnection>();
  for (const one of connections) {
    const text = connectionText(one);
    if (!byText.has(text)) byText.set(text, one);
  }
  return [...byText.values()];
}

function isOwn(local: string, known: PrefixTable): boolean {
  return /^fe80:/i.test(local) || known.identityOf(local) === IDENTITY.host;
}

function reasonOf({ verdict, entry }: PolicyDecision, repository: PolicyRepository): string {
  if (verdict === "deny") return `denied by ${names(entry?.origins ?? [])}`;
  const closing = [...repository.rules()]
    .filter(({ scope, defaultDeny }) => scope === "node" && defaultDeny.ingress)
    .map(({ origin }) => origin);
  return `no rule allows it, and ${names(closing)} closes what none allows`;
}

function names(origins: readonly PolicyOrigin[]): string {
  const all = [...new Set(origins.map(policyKeyText))];
  const shown = all.slice(0, POLICIES_NAMED_MAX).join(", ");
  return all.length > POLICIES_NAMED_MAX ? `${shown} …` : shown;
}
