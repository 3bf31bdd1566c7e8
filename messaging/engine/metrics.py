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

OUTBOX_DEPTH = Gauge("oms_outbox_depth", "Messages committed and not yet published", ["service"])
OUTBOX_AGE = Gauge("oms_outbox_oldest_age_seconds", "Age of the oldest message not yet published", ["service"])
SHARDS_OWNED = Gauge("oms_relay_shards_owned", "Outbox shards that this process publishes", ["service"])
PUBLISHED = Counter("oms_events_published_total", "Messages acknowledged by the publisher", ["service"])
PUBLISH_FAILURES = Counter(
    "oms_publish_failures_total", "Times a relay had to start a shard over; nothing is lost", ["service"]
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
WAITING = Gauge(
    "oms_consumer_waiting",
    "1 while records wait because the whole service fails, its store or every key alike",
    ["service"],
)
PARKED = Gauge("oms_parked_records", "Records that wait behind a key that could not be handled", ["service"])
PARKED_AGE = Gauge("oms_parked_oldest_age_seconds", "Age of the oldest parked record", ["service"])
DEAD_LETTERS = Gauge("oms_dead_letters", "Records that will never be handled as they are", ["service"])
