/** The completion script for fish, which shows what each word is for. */
import type { Completed, CompletedOption } from "./completion.ts";
import { subcommands, valuedOptions } from "./completion-bash.ts";

/** The first sentence tells enough in a list. */
const ABOUT_CHARACTERS_MAX = 60;

export function fishScript(commands: readonly Completed[]): string {
  return `set -g __imker_valued ${valuedOptions(commands).map(quoted).join(" ")}
set -g __imker_commands ${subcommands(commands).map(quoted).join(" ")}
function __imker_at
    set -l path
    set -l skip no
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
        else if contains -- "$path $word" $__imker_valued
            set skip yes
        else if contains -- "$path $word" $__imker_commands
            set path (string trim -- "$path $word")
        end
    end
    test "$path" = "$argv[1]"
end
complete -c imker -f
${commands.flatMap(linesOf).join("\n")}
`;
}

function linesOf({ path, commands, options, takesFiles }: Completed): string[] {
  const at = `complete -c imker -n ${quoted(`__imker_at "${path}"`)}`;
  return [
    ...commands.map(({ name, about }) => `${at} -a ${name} -d ${quoted(short(about))}`),
    ...options.map((option) => `${at} ${optionText(option)}`),
    ...(takesFiles ? [`${at} -F`] : []),
  ];
}

function optionText({ names, about, takesValue, choices, isFile }: CompletedOption): string {
  const flags = names.map((name) =>
    name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  const value = [
    ...(isFile ? ["-r", "-F"] : takesValue ? ["-x"] : []),
    ...(choices.length > 0 ? [`-a ${quoted(choices.join(" "))}`] : []),
  ];
  return [...flags, ...value, `-d ${quoted(short(about))}`].join(" ");
}

function short(about: string): string {
  const [first = ""] = about.split(/[;:] /);
  return first.length <= ABOUT_CHARACTERS_MAX
    ? first
    : `${first.slice(0, ABOUT_CHARACTERS_MAX - 1)}…`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
