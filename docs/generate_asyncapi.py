"""Write docs/asyncapi.yaml: every topic, every message on it, and who sends and reads it, after AsyncAPI 3.

Run `python -m docs.generate_asyncapi` after changing a message or a topic. Topics, senders and readers are those of the
services' descriptors and subscriptions. The payloads are those of docs/schemas, and the examples are the golden files.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.generate_schemas import TIME, TOPICS, UUID, schemas
from docs.yaml_text import yaml_text
from inventory_service.infrastructure import command_handling as inventory
from messaging.engine.decoding import Envelope
from messaging.kafka.topics import Topic, configuration, positions_of
from messaging.ports.subscription import Subscription
from messaging.runtime.service import Service
from oms.services import SERVICES
from order_service.infrastructure import partner_events as order
from payment_service.infrastructure import command_handling as payment

PAGE = Path(__file__).parent / "asyncapi.yaml"
GOLDEN = Path(__file__).parents[1] / "tests" / "contract" / "golden"
BINDING = {"bindingVersion": "0.5.0"}
POSITION = "OutboxPosition"

_NOBODY: Any = None
SUBSCRIPTIONS: Mapping[str, Sequence[Subscription]] = {
    "order": order.partner_subscriptions(_NOBODY, _NOBODY),
    "inventory": inventory.subscriptions(_NOBODY, _NOBODY, _NOBODY),
    "payment": [payment.payment_commands(_NOBODY)],
}
"""What each service reads. The use cases are absent, because nothing is handled here."""

READS = {"order": order.READS, "inventory": inventory.READS, "payment": payment.READS}
"""What each service reads of each type."""

DESCRIPTION = """\
The messages of the order management system. Each message follows CloudEvents 1.0 in Kafka's binary mode: the
attributes are headers, and the value is the data as JSON. The key is the order id, so that the messages of an order
come in order. Read with `isolation.level=read_committed`: records of aborted transactions are no messages.

With `KAFKA_PREFIX` the name of every topic and group begins with that text. docs/events.md says what a consumer may
rely on, and how messages may change. `x-reads` says which fields a consumer of ours reads."""

POSITION_SCHEMA: Mapping[str, Any] = {
    "description": "The rows of a shard's outbox that the last batch published, and their events. Only relays read it.",
    "type": "object",
    "properties": {
        "ids": {"type": "array", "items": {"type": "integer"}, "description": "The rows, in the order of publishing"},
        "firstEventId": UUID | {"description": "The event of the first row"},
        "eventIds": {"type": "string", "contentEncoding": "base64", "description": "16 bytes for each row's event"},
    },
    "required": ["ids", "firstEventId", "eventIds"],
}


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Order management system",
            "version": "1",
            "description": DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrapServers}",
                "protocol": "kafka",
                "variables": {
                    "bootstrapServers": {"default": "localhost:9092", "description": "KAFKA_BOOTSTRAP_SERVERS"}
                },
            }
        },
        "channels": {topic.name: _channel(topic) for service in SERVICES.values() for topic in service.topics},
        "operations": {name: operation for service in SERVICES.values() for name, operation in _operations_of(service)},
        "components": {"messages": dict(_messages())},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    names = [POSITION] if topic.compacted else [f"{kind}.v{version}" for kind, version in TOPICS[topic.name]]
    settings: dict[str, Any] = {
        name: int(value) if value.removeprefix("-").isdigit() else value
        for name, value in configuration(topic, replication=3).items()
    }
    return {
        "address": topic.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": settings | {"cleanup.policy": [topic.cleanup_policy]},
                **BINDING,
            }
        },
    }


def _operations_of(service: Service) -> Iterator[tuple[str, dict[str, Any]]]:
    who = f"{service.name}-service"
    for topic in service.produces:
        names = [f"{kind}.v{version}" for kind, version in TOPICS[topic.name]]
        yield f"{who}.sends.{topic.name}", _operation("send", who, topic.name, names)
        if topic.name.endswith("-events"):
            yield f"anyone.receives.{topic.name}", _operation("receive", "anyone", topic.name, names)
    for subscription in SUBSCRIPTIONS.get(service.name, ()):
        handled = [
            f"{kind}.v{version}" for kind, version in TOPICS[subscription.topic] if kind in subscription.handlers
        ]
        group = {"groupId": {"type": "string", "const": who}, **BINDING}
        receive = _operation("receive", who, subscription.topic, handled) | {
            "bindings": {"kafka": group},
            "x-reads": {name: _fields_of(READS[service.name][name.partition(".")[0]]) for name in handled},
        }
        yield f"{who}.receives.{subscription.topic}", receive
    positions = positions_of(service.name).name
    for action in ("send", "receive"):
        yield f"{who}.{action}s.{positions}", _operation(action, f"{who}'s relays", positions, [POSITION])


def _operation(action: str, who: str, topic: str, messages: Sequence[str]) -> dict[str, Any]:
    channel = f"#/channels/{topic}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "title": f"{who} {action}s {topic}",
        "tags": [{"name": who}],
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in messages],
    }


def _fields_of(model: type[Envelope]) -> dict[str, Any]:
    """The fields that a model reads, in one piece and without words."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return whole(definitions[part["$ref"].rsplit("/", 1)[1]])
        return {
            key: whole(value)
            for key, value in part.items()
            if not (key in ("title", "description") and isinstance(value, str))  # fields may have these names
        }

    return dict(whole(schema))


def _messages() -> Iterator[tuple[str, dict[str, Any]]]:
    payloads = schemas()
    for service in SERVICES.values():
        for topic in service.produces:
            for kind, version in TOPICS[topic.name]:
                name = f"{kind}.v{version}"
                payload = {key: value for key, value in payloads[f"{name}.json"].items() if not key.startswith("$")}
                yield name, _message(name, kind, f"/{service.name}-service", payload)
    yield (
        POSITION,
        {
            "name": POSITION,
            "title": "Outbox position",
            "contentType": "application/json",
            "payload": dict(POSITION_SCHEMA),
            "bindings": {
                "kafka": {
                    "key": {"type": "string", "description": "Service and shard", "examples": ["order/2"]},
                    **BINDING,
                }
            },
        },
    )


def _message(name: str, kind: str, source: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": kind,
        "title": payload["title"],
        "summary": payload["description"],
        "contentType": "application/json",
        "headers": _headers(kind, source),
        "correlationId": {"location": "$message.payload#/orderId"},
        "payload": dict(payload),
        "bindings": {"kafka": {"key": UUID | {"description": "The order id"}, **BINDING}},
        "examples": list(_examples(name)),
    }


def _headers(kind: str, source: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": UUID | {"description": "The same as eventId"},
        "ce_source": {"const": source},
        "ce_type": {"const": kind},
        "ce_subject": UUID | {"description": "The order, and the record's key"},
        "ce_time": TIME | {"description": "The same as occurredAt"},
        "content-type": {"const": "application/json"},
    }
    typed = {name: {"type": "string"} | attribute for name, attribute in attributes.items()}
    trace: dict[str, Any] = {
        name: {"type": "string", "description": f"{what} (W3C Trace Context), while traces are recorded"}
        for name, what in (("traceparent", "The span of its creation"), ("tracestate", "What other vendors pass along"))
    }
    return {"type": "object", "properties": typed | trace, "required": list(typed)}


def _examples(name: str) -> Iterator[dict[str, Any]]:
    """A message's golden files, the plain one first."""
    for path in sorted(GOLDEN.glob(f"{name}*.json"), key=lambda path: (len(path.stem), path.stem)):
        golden = json.loads(path.read_text(encoding="utf-8"))
        special = re.sub(r"[-.]", " ", path.stem.removeprefix(name)).strip()
        yield {"name": path.stem, "summary": special or "An example"} | {
            "headers": golden["headers"],
            "payload": golden["value"],
        }


def main() -> None:
    """Bring the file up to date."""
    PAGE.write_text(yaml_text(document()), encoding="utf-8")


if __name__ == "__main__":
    main()
