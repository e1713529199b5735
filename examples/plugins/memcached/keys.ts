// Written by 'imker plugin build' from plugin.json; do not edit.
/** The fields of records, and of rules, by the names plugin.json gives them. */
export const REQUEST_COMMAND: i32 = 0;
export const REQUEST_KEY: i32 = 1;
export const REQUEST_KEYS: i32 = 2;
export const REQUEST_BYTES: i32 = 3;
export const RESPONSE_STATUS: i32 = 0;
export const RESPONSE_ITEMS: i32 = 1;
export const RULE_KEYS: string[] = ["command", "key"];
export const RULE_COMMAND: i32 = 0;
export const RULE_KEY: i32 = 1;
