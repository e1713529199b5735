/** `imker completion SHELL`: completion scripts, made from the command tree itself. */
import type { Command, Option } from "commander";
import type { CliContext } from "../context.ts";

export function addCompletionCommand(program: Command, context: CliContext): void {
  program
    .command("completion")
    .description("print a completion script: source <(imker completion bash)")
    .argument("<shell>", "bash or zsh")
    .action((shell: string) => {
      const words = wordsOf(program, []);
      if (shell === "bash") context.out(bashScript(words));
      else if (shell === "zsh")
        context.out(`autoload -U +X bashcompinit && bashcompinit\n${bashScript(words)}`);
      else program.error(`Cannot complete for "${shell}": expected bash or zsh`);
    });
}

/** Command path → the words that may follow it. */
function wordsOf(command: Command, path: string[]): [string, string[]][] {
  const options = command.options
    .filter((option: Option) => !option.hidden)
    .map((option) => option.long ?? option.short ?? "");
  const own: [string, string[]] = [
    path.join(" "),
    [...command.commands.map((child) => child.name()), ...options, "--help"],
  ];
  return [own, ...command.commands.flatMap((child) => wordsOf(child, [...path, child.name()]))];
}

function bashScript(words: [string, string[]][]): string {
  const cases = words
    .map(([path, next]) => `    "${path}") words="${next.join(" ")}" ;;`)
    .join("\n");
  return `_imker() {
  local word path="" words="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _imker imker ./imker
`;
}
