/** `imker policy trace`: why a connection is allowed or denied. */
import type { Command } from "commander";
import type { TraceRequest } from "../../admin/explain-types.ts";
import type { ApplyResult } from "../../admin/types.ts";
import type { TraceView } from "../../policy/explain/types.ts";
import { type CliContext, wantsJson } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { RECURSIVE, readPolicyInput } from "../policy-input.ts";
import { askToExplain, printRefused, removals } from "../policy-question.ts";
import { traceText } from "../trace-text.ts";

interface TraceOptions {
  src: string;
  dst: string;
  dport: string[];
  filename?: string[];
  recursive?: boolean;
  delete?: string[];
  offline?: boolean;
  exitCode?: boolean;
}

const ENDS =
  "namespace/name or id of an endpoint, identity:NUMBER, an address, or labels: ns:shop,app=web";

export function addPolicyTrace(policy: Command, context: CliContext): void {
  policy
    .command("trace")
    .description("why a connection is allowed or denied: which rule of which policy, and where")
    .requiredOption("--src <end>", `who connects: ${ENDS}`)
    .requiredOption("--dst <end>", "to whom; the same forms")
    .requiredOption("--dport <port...>", "80, 80/TCP, 53/UDP, http, EchoRequest/ICMP; several: a,b")
    .option("-f, --filename <path...>", "as if these policies were applied too")
    .option(...RECURSIVE)
    .option("--delete <policy...>", "as if these were not: KIND/namespace/name, or KIND/name")
    .option("--offline", "ask no agent: only the files of -f count")
    .option("--exit-code", "exit with 4 if it is denied")
    .addHelpText("after", EXAMPLES)
    .action(async (options: TraceOptions, command: Command) => {
      const request: TraceRequest = {
        ...{ source: options.src, destination: options.dst, ports: options.dport },
        files: readPolicyInput(options.filename ?? [], options.recursive),
        deletes: removals(options.delete ?? []),
      };
      const answer = await ask(context, command, request, options.offline === true);
      if ("errors" in answer) return printRefused(context, command, answer);
      const { warnings, ...view } = answer;
      context.print(command, answer, () => traceText(view));
      if (!wantsJson(command))
        for (const { message } of warnings) context.err(`warning: ${message}\n`);
      refuseFaults(view);
      if (options.exitCode === true && view.verdict !== "allowed") process.exitCode = EXIT.differs;
    });
}

const EXAMPLES = `
Examples:
  imker policy trace --src shop/front --dst shop/web --dport 8080
  imker policy trace --src ns:shop,app=new --dst shop/web --dport http,EchoRequest/ICMP
  imker policy trace --src 10.1.2.3 --dst ns:shop,app=web --dport 443 --offline -f policies/
`;

async function ask(
  context: CliContext,
  command: Command,
  request: TraceRequest,
  isOffline: boolean,
): Promise<(TraceView & Pick<ApplyResult, "warnings">) | Pick<ApplyResult, "errors" | "warnings">> {
  if (!isOffline) return askToExplain(context, command, "/v1/policies/trace", request);
  if (request.deletes.length > 0) {
    throw new CliError(EXIT.user, "Cannot delete with --offline: only the files of -f count");
  }
  // Loading the policy language takes a while; the other commands must not pay for it.
  const { traceLocally } = await import("../local-trace.ts");
  return traceLocally(request);
}

/** What the kernel does is not what the policies say: that must not go unnoticed. */
function refuseFaults({ ports }: TraceView): void {
  const faults = ports.flatMap(({ port, egress, ingress }) =>
    [egress, ingress].flatMap(({ direction, subject, fault }) =>
      fault === undefined ? [] : [`${port}, ${direction} of ${subject}: ${fault}`],
    ),
  );
  if (faults.length > 0) {
    throw new CliError(EXIT.environment, `Cannot trust this trace: ${faults.join("; ")}`);
  }
}
