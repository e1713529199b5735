/** What `imker policy fields` prints: the fields of the languages as this version supports them. */
import { APPLY_FEATURES } from "../enforce/policy-reader.ts";
import { type FieldRow, fieldRows, fieldsMarkdown } from "../policy/fields.ts";

export const supportedFields = (): FieldRow[] => fieldRows(APPLY_FEATURES);

export const supportedFieldsMarkdown = (): string => fieldsMarkdown(supportedFields());
