/** What a translation is told beside the document. */
import type { PolicySources } from "../sources.ts";

/** Of which clusters peers are. */
export interface PeerClusters {
  /** Name of the local cluster: peers without a cluster label are pods of this one. */
  cluster: string;
  /** Or of any cluster. */
  anyCluster?: boolean;
}

export interface TranslateOptions extends PeerClusters {
  /** Number shown with every decision of these rules. */
  revision: number;
  /** What documents refer to, as it is now. */
  sources: PolicySources;
}
