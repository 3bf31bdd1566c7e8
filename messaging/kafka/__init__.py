"""Kafka: the publisher, the consumer, the topics, and how its brokers are reached."""
