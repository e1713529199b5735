/** What a worker counts beside the engine's counters; the names appear in the proxy's status. */
export interface WorkerCounters {
  /** Refused: no L7 rules on either side. */
  refused_no_rules: number;
  /** Refused: a rule set id this worker does not have. */
  refused_unknown_rules: number;
  /** Refused: the two sides name different plugins. */
  refused_two_plugins: number;
  refused_instances_full: number;
  refused_backing_off: number;
  faults: number;
  /** Closed because policy changed. */
  policy_closed: number;
  plugin_calls: number;
  log_lines_dropped: number;
}

export function zeroCounters(): WorkerCounters {
  return {
    refused_no_rules: 0,
    refused_unknown_rules: 0,
    refused_two_plugins: 0,
    refused_instances_full: 0,
    refused_backing_off: 0,
    faults: 0,
    policy_closed: 0,
    plugin_calls: 0,
    log_lines_dropped: 0,
  };
}
