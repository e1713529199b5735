/** What a translation is told beside the document. */
import type { PolicySources } from "../sources.ts";

export interface TranslateOptions {
  /** Name of the local cluster: peers without a cluster label are pods of this one. */
  cluster: string;
  /** Number shown with every decision of these rules. */
  revision: number;
  /** What documents refer to, as it is now. */
  sources: PolicySources;
}
