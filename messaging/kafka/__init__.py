"""Kafka: the publisher, the consumer, the topics, and the connection to the brokers."""
