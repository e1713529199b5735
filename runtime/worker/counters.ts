/** What a worker counts beside the engine's counters; the names appear in the proxy's status. */
export interface WorkerCounters {
  /** Refused: no L7 rules on either side. */
  refused_no_rules: number;
  /** Refused: a rule set id this worker does not have. */
  refused_unknown_rules: number;
  /** Refused: the two sides name different plugins. */
  refused_two_plugins: number;
  /** Refused: no version of the plugin can serve, and the failure policy is closed. */
  refused_no_plugin: number;
  refused_instances_full: number;
  refused_backing_off: number;
  /** Passed on unseen because their plugin cannot serve them and the failure policy is open. */
  relayed_unseen: number;
  faults: number;
  /** Faults of instances that only watch. */
  tap_faults: number;
  /** Connections whose bytes a tap stopped seeing before they ended. */
  taps_ended: number;
  /** Connections in mode audit or observe that no instance could watch. */
  taps_refused: number;
  /** Closed because their version is retired. */
  retired: number;
  /** Closed because policy changed. */
  policy_closed: number;
  plugin_calls: number;
  log_lines_dropped: number;
  /** Recorded connections told of. */
  cases: number;
  /** Not told of: too many in a second. */
  cases_dropped: number;
}

export function zeroCounters(): WorkerCounters {
  return {
    refused_no_rules: 0,
    refused_unknown_rules: 0,
    refused_two_plugins: 0,
    refused_no_plugin: 0,
    refused_instances_full: 0,
    refused_backing_off: 0,
    relayed_unseen: 0,
    faults: 0,
    tap_faults: 0,
    taps_ended: 0,
    taps_refused: 0,
    retired: 0,
    policy_closed: 0,
    plugin_calls: 0,
    log_lines_dropped: 0,
    cases: 0,
    cases_dropped: 0,
  };
}
