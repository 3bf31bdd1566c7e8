"""A model of a Kafka cluster, behind the connections of the real client."""
