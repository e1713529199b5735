// Written by 'imker plugin build' from plugin.json; do not edit.
/** The fields of records, and of rules, by the names plugin.json gives them. */
export const REQUEST_USER: i32 = 0;
export const REQUEST_DATABASE: i32 = 1;
export const REQUEST_STATEMENT: i32 = 2;
export const REQUEST_TABLE: i32 = 3;
export const RESPONSE_RESULT: i32 = 0;
export const RULE_KEYS: string[] = ["user", "database", "statement", "table"];
export const RULE_USER: i32 = 0;
export const RULE_DATABASE: i32 = 1;
export const RULE_STATEMENT: i32 = 2;
export const RULE_TABLE: i32 = 3;
