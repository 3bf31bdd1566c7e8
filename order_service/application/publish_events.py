"""Publish what was committed: the oldest messages of a shard leave through the EventPublisher port, then are forgotten.

The relay (`messaging.relay`) does this for every shard that it owns. The adapters of the port are
`messaging.logging_publisher`, `messaging.kafka` and `messaging.in_process`; EVENT_PUBLISHER chooses among them in
`messaging.transport`.
"""

from messaging.publishing import publish_oldest as publish_events

__all__ = ["publish_events"]
