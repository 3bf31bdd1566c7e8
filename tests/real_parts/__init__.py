"""The real components that tests run against: PostgreSQL, Kafka, and our own processes."""
