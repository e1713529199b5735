/** `imker completion SHELL`: completion scripts, made from the command tree itself. */
import { Argument, type Command, type Option } from "commander";
import type { CliContext } from "../context.ts";
import { bashScript, zshScript } from "./completion-bash.ts";
import { fishScript } from "./completion-fish.ts";

/** A command as the scripts know it. */
export interface Completed {
  /** Names from the root on, with a space between; empty: `imker` itself. */
  path: string;
  commands: { name: string; about: string }[];
  options: CompletedOption[];
  /** Its arguments are files or folders. */
  takesFiles: boolean;
}

export interface CompletedOption {
  /** As written: `--filename`, `-f`. */
  names: string[];
  about: string;
  takesValue: boolean;
  /** What the value may be; empty: anything. */
  choices: string[];
  /** The value is a file or a folder. */
  isFile: boolean;
}

const SHELLS: Readonly<Record<string, (commands: readonly Completed[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export function addCompletionCommand(program: Command, context: CliContext): void {
  program
    .command("completion")
    .description(
      "print a completion script: source <(imker completion bash), the same for zsh, or " +
        "imker completion fish | source",
    )
    .addArgument(new Argument("<shell>", "whose script").choices(Object.keys(SHELLS)))
    .action((shell: string) => context.out(SHELLS[shell]?.(completedOf(program, "")) ?? ""));
}

/** The command and all below it. */
export function completedOf(command: Command, path: string): Completed[] {
  const children = command.commands.map((child) => ({ child, name: child.name() }));
  const own: Completed = {
    path,
    commands: children.map(({ child, name }) => ({ name, about: child.description() })),
    options: [
      ...command.options.filter((option) => !option.hidden).map(completedOption),
      {
        ...{ names: ["--help", "-h"], about: "display help for command", takesValue: false },
        ...{ choices: [], isFile: false },
      },
    ],
    takesFiles: command.registeredArguments.some((argument) => isFile(argument.name())),
  };
  return [
    own,
    ...children.flatMap(({ child, name }) => completedOf(child, path ? `${path} ${name}` : name)),
  ];
}

function completedOption(option: Option): CompletedOption {
  const takesValue = option.required || option.optional;
  return {
    names: [option.long, option.short].filter((name) => name != null),
    about: option.description,
    takesValue,
    choices: option.argChoices ?? [],
    isFile: takesValue && isFile(option.flags.replace(/^.*[<[]/, "")),
  };
}

/** By what a placeholder says. */
function isFile(placeholder: string): boolean {
  return /^(path|file|dir|folder|package)/.test(placeholder);
}
