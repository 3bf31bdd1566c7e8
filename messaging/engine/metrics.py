"""The metrics of the mechanism. docs/operations.md says which values are normal."""

from prometheus_client import Counter, Gauge, Histogram

COMMIT_BATCH_SIZE = Histogram(
    "oms_commit_batch_size", "Writes stored by one transaction", ["writes"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
COMMIT_SECONDS = Histogram(
    "oms_commit_seconds",
    "Time of one commit, from handing the batch to the database to its answer",
    ["writes"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
COMMIT_WAITING = Gauge("oms_commit_waiting", "Writes that wait for a connection", ["writes"])
POOL_BUSY = Gauge("oms_pool_busy", "Sessions of a pool that are in use, of 4", ["service", "pool"])
LOOP_LAG = Histogram(
    "oms_event_loop_lag_seconds",
    "How much later than due a callback ran, measured four times a second",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
STANDBYS = Gauge("oms_replication_standbys", "Standbys that stream from the primary of the database", ["service"])
STANDBY_LAG = Gauge(
    "oms_replication_lag_bytes", "How far the last standby is behind the primary in applying the log", ["service"]
)
STANDBY_WAITS = Gauge(
    "oms_replication_waiting_commits", "Sessions whose commit waits for a synchronous standby", ["service"]
)

OUTBOX_DEPTH = Gauge("oms_outbox_depth", "Messages committed and not yet published", ["service"])
OUTBOX_AGE = Gauge("oms_outbox_oldest_age_seconds", "Age of the oldest message not yet published", ["service"])
SHARDS_OWNED = Gauge("oms_relay_shards_owned", "Outbox shards that this process publishes", ["service"])
PUBLISHED = Counter("oms_events_published_total", "Messages acknowledged by the publisher", ["service"])
PUBLISH_FAILURES = Counter(
    "oms_publish_failures_total", "Times a relay had to start a shard over; nothing is lost", ["service"]
)
TAKEOVERS = Counter(
    "oms_relay_takeovers_total", "Times a relay took over a shard from another one, or from itself", ["service"]
)
FENCED = Counter(
    "oms_relay_fenced_total",
    "Times the broker refused a producer because another one had taken over its shard",
    ["service"],
)
UNANSWERED = Counter(
    "oms_publisher_unanswered_total",
    "Times a shard was taken over from its own producer because a request to the broker got no answer",
    ["service", "request"],
)
UNSTABLE = Gauge(
    "oms_kafka_unstable_records",
    "Records that read_committed consumers do not see, although they were there some seconds ago: "
    "high watermark minus last stable offset",
    ["topic", "partition"],
)

CONSUMED = Counter(
    "oms_records_consumed_total",
    "Records taken from topics, by what became of them: handled, ignored, parked, dead_letter",
    ["service", "outcome"],
)
LAG = Gauge(
    "oms_consumer_lag_records",
    "Records of a partition that the service's group has not handled yet: end of the partition minus committed offset",
    ["service", "topic", "partition"],
)
CRITICAL_TIME = Histogram(
    "oms_message_critical_seconds",
    "A message's critical time: from the decision that sent it until it is handled; 0 if clocks differ the other way",
    ["service", "type"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
WAITING = Gauge(
    "oms_consumer_waiting",
    "1 while records wait because the whole service fails, its store or every key alike",
    ["service"],
)
PARKED = Gauge("oms_parked_records", "Records that wait behind a key that could not be handled", ["service"])
PARKED_AGE = Gauge("oms_parked_oldest_age_seconds", "Age of the oldest parked record", ["service"])
DEAD_LETTERS = Gauge("oms_dead_letters", "Records that will never be handled as they are", ["service"])

SPANS_DROPPED = Counter(
    "oms_spans_dropped_total",
    "Spans that nobody will see: queue_full, or not_accepted by the collector in time",
    ["reason"],
)

ACCESS_REFUSED = Counter("oms_access_refused_total", "Requests refused because of who asked", ["service"])
AUDIT_DROPPED = Counter(
    "oms_audit_dropped_total",
    "Refusals that are in the audit trail as a number only, because there were many",
    ["service"],
)
