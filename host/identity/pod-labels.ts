/**
 * The labels of a pod: its own, plus those that say where it stands (namespace, labels of the
 * namespace, service account, cluster). Only the second kind is trusted to scope policies, so a
 * pod's own labels can never set them.
 */
import type { Label } from "../policy/types.ts";
import {
  DEFAULT_CLUSTER,
  KEY_CLUSTER,
  KEY_NAMESPACE,
  KEY_NAMESPACE_LABELS,
  KEY_SERVICE_ACCOUNT,
  k8sLabel,
  sortLabels,
} from "./label.ts";

/** The API server puts this label, with the name as value, on every namespace. */
const KEY_NAMESPACE_NAME = "kubernetes.io/metadata.name";

export interface PodMetadata {
  namespace: string;
  /** The pod's own labels, without source. */
  labels: Readonly<Record<string, string>>;
  serviceAccount?: string | undefined;
  /** Name of the cluster; `default` if absent. */
  cluster?: string;
  namespaceLabels?: Readonly<Record<string, string>>;
}

/** Sorted; before the label filter. */
export function podLabels(pod: PodMetadata): Label[] {
  const labels: Label[] = [];
  for (const [key, value] of Object.entries(pod.labels)) {
    if (!isTrustedKey(key)) labels.push(k8sLabel(key, value));
  }
  const namespaceLabels = { [KEY_NAMESPACE_NAME]: pod.namespace, ...pod.namespaceLabels };
  for (const [key, value] of Object.entries(namespaceLabels)) {
    labels.push(k8sLabel(KEY_NAMESPACE_LABELS + key, value));
  }
  labels.push(k8sLabel(KEY_NAMESPACE, pod.namespace));
  labels.push(k8sLabel(KEY_CLUSTER, pod.cluster ?? DEFAULT_CLUSTER));
  if (pod.serviceAccount) labels.push(k8sLabel(KEY_SERVICE_ACCOUNT, pod.serviceAccount));
  return sortLabels(labels);
}

function isTrustedKey(key: string): boolean {
  return (
    key === KEY_NAMESPACE ||
    key === KEY_CLUSTER ||
    key === KEY_SERVICE_ACCOUNT ||
    key.startsWith(KEY_NAMESPACE_LABELS)
  );
}
