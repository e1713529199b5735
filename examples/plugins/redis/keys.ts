// Written by 'imker plugin build' from plugin.json; do not edit.
/** The fields of records, and of rules, by the names plugin.json gives them. */
export const REQUEST_COMMAND: i32 = 0;
export const REQUEST_SUBCOMMAND: i32 = 1;
export const REQUEST_KEY: i32 = 2;
export const REQUEST_KEYS: i32 = 3;
export const REQUEST_CHANNEL: i32 = 4;
export const REQUEST_SECRET: i32 = 5;
export const RESPONSE_TYPE: i32 = 0;
export const RESPONSE_ERROR: i32 = 1;
export const RULE_KEYS: string[] = ["command", "subcommand", "key", "channel"];
export const RULE_COMMAND: i32 = 0;
export const RULE_SUBCOMMAND: i32 = 1;
export const RULE_KEY: i32 = 2;
export const RULE_CHANNEL: i32 = 3;
