"""What Kafka's authorizer refuses, as a sentence for an operator."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from messaging.kafka.settings import KafkaSettings

_RESOURCES = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
    ClusterAuthorizationFailedError: "cluster",
}


class NotAllowed(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Our user lacks a permission. The text says for what, and what to do."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def as_not_allowed(settings: KafkaSettings, name: str) -> Iterator[None]:
    """Raise NotAllowed for what the authorizer refuses. `name` stands for a resource that the error does not name."""
    try:
        yield
    except tuple(_RESOURCES) as error:
        user = settings.sasl_username or "this process"
        named = error.args[0] if error.args else name
        names = named if isinstance(named, str) else ", ".join(sorted(map(str, named)))
        raise NotAllowed(
            f"Kafka does not allow this to {user}: {_RESOURCES[type(error)]} {names}; `oms topics acls` prints the "
            "permissions that are needed"
        ) from error
