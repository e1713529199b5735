/** The completion script for bash, which zsh runs as well. */
import type { Completed } from "./completion.ts";

/**
 * It goes through the words before the cursor: an option that takes a value takes the next word, a
 * command's name leads to that command, everything else is an argument. No variable of it may be
 * called as zsh calls its own (path, words).
 */
export function bashScript(commands: readonly Completed[]): string {
  return `_imker() {
  local current="\${COMP_WORDS[COMP_CWORD]}" at="" option="" offers="" word index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    if [ "$word" = -- ]; then return; fi
    if [ "$word" = "=" ]; then continue; fi
    if [ -n "$option" ]; then option=""; continue; fi
    case "$at $word" in
      ${patterns(valuedOptions(commands))}) option="$word" ;;
      ${patterns(subcommands(commands))}) at="\${at:+$at }$word" ;;
    esac
  done
  if [ "$current" = "=" ]; then current=""; fi
  if [ -n "$option" ]; then
    case "$at $option" in
${choiceCases(commands)}
    esac
  else
    case "$at" in
${wordCases(commands)}
    esac
  fi
  COMPREPLY=($(compgen -W "$offers" -- "$current"))
}
complete -o default -F _imker imker ./imker
`;
}

export function zshScript(commands: readonly Completed[]): string {
  return `autoload -U +X bashcompinit && bashcompinit\n${bashScript(commands)}`;
}

/** `PATH OPTION` of options whose value is the next word. */
export function valuedOptions(commands: readonly Completed[]): string[] {
  return commands.flatMap(({ path, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .flatMap(({ names }) => names.map((name) => `${path} ${name}`)),
  );
}

/** `PATH COMMAND` of all but the root. */
export function subcommands(commands: readonly Completed[]): string[] {
  return commands.flatMap(({ path, commands: below }) =>
    below.map(({ name }) => `${path} ${name}`),
  );
}

function patterns(texts: readonly string[]): string {
  return texts.map((text) => `"${text}"`).join("|");
}

function choiceCases(commands: readonly Completed[]): string {
  return commands
    .flatMap(({ path, options }) =>
      options
        .filter(({ choices }) => choices.length > 0)
        .map(({ names, choices }) => {
          const places = patterns(names.map((name) => `${path} ${name}`));
          return `      ${places}) offers="${choices.join(" ")}" ;;`;
        }),
    )
    .join("\n");
}

function wordCases(commands: readonly Completed[]): string {
  return commands
    .map(({ path, commands: below, options }) => {
      const words = [...below.map(({ name }) => name), ...options.map(({ names }) => names[0])];
      return `      "${path}") offers="${words.join(" ")}" ;;`;
    })
    .join("\n");
}
