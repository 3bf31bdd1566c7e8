"""Changes of the published documents, as a merge might bring them: by name, and with what the gate must say of the bad
ones."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
Changing: TypeAlias = Callable[[Document, Document], object]
"""Takes docs/asyncapi.yaml and docs/openapi.yaml, and changes one of them."""

CREATED, CONFIRMED, RESERVE = "OrderCreatedEvent.v1", "OrderConfirmedEvent.v1", "ReserveStock.v1"


def message(asyncapi: Document, name: str) -> Document:
    """A message of the document."""
    found: Document = asyncapi["components"]["messages"][name]
    return found


def fields(asyncapi: Document, name: str) -> Document:
    """The fields of a message's payload."""
    found: Document = message(asyncapi, name)["payload"]["properties"]
    return found


def read(asyncapi: Document, who: str, name: str) -> Document:
    """What a consumer reads of a message."""
    operation = next(
        key for key in asyncapi["operations"] if key.startswith(f"{who}.receives.") and name in _of(asyncapi, key)
    )
    found: Document = asyncapi["operations"][operation]["x-reads"][name]
    return found


def _of(asyncapi: Document, operation: str) -> Document:
    found: Document = asyncapi["operations"][operation].get("x-reads", {})
    return found


def model(openapi: Document, name: str) -> Document:
    """A schema of the HTTP API."""
    found: Document = openapi["components"]["schemas"][name]
    return found


def send_version_2(asyncapi: Document, name: str = CREATED) -> Document:
    """Send a new version of a message beside the one that there is; returns it."""
    kind = name.partition(".")[0]
    second = dict(message(asyncapi, name), payload={"type": "object", "properties": {"all": {"type": "string"}}})
    asyncapi["components"]["messages"][f"{kind}.v2"] = second
    for channel in asyncapi["channels"].values():
        if name in channel["messages"]:
            channel["messages"][f"{kind}.v2"] = {"$ref": f"#/components/messages/{kind}.v2"}
    return second


def no_longer_send(asyncapi: Document, name: str) -> Document:
    """Take a message away wherever it is named; returns it."""
    gone: Document = asyncapi["components"]["messages"].pop(name)
    for channel in asyncapi["channels"].values():
        channel["messages"].pop(name, None)
    for operation in asyncapi["operations"].values():
        operation["messages"] = [each for each in operation["messages"] if not each["$ref"].endswith(f"/{name}")]
        operation.get("x-reads", {}).pop(name, None)
    return gone


def _move(asyncapi: Document, name: str, topic: str) -> None:
    for channel in asyncapi["channels"].values():
        found = channel["messages"].pop(name, None)
        if found:
            asyncapi["channels"][topic]["messages"][name] = found
            return


BAD: Mapping[str, tuple[Changing, str]] = {
    "a field of an event is gone": (
        lambda a, _: fields(a, CREATED).pop("customerId"),
        "customerId of OrderCreatedEvent.v1 is gone: take that back, or send a new version beside this one",
    ),
    "a field of a list's items is gone": (
        lambda a, _: fields(a, CONFIRMED)["items"]["items"]["properties"].pop("unitPrice"),
        "items.unitPrice of OrderConfirmedEvent.v1 is gone",
    ),
    "a field has another type": (
        lambda a, _: fields(a, CREATED).update(orderVersion={"type": "string"}),
        "orderVersion of OrderCreatedEvent.v1 was integer and is string",
    ),
    "a field of a command has another type": (
        lambda a, _: fields(a, "ChargePayment.v1")["amount"]["properties"].update(amount={"type": "number"}),
        "amount.amount of ChargePayment.v1 was string and is number",
    ),
    "a field can no longer be null": (
        lambda a, _: fields(a, CREATED).update(customerId={"type": "string"}),
        "customerId of OrderCreatedEvent.v1 is no longer null",
    ),
    "a field can be null now": (
        lambda a, _: fields(a, CONFIRMED).update(total={"anyOf": [fields(a, CONFIRMED)["total"], {"type": "null"}]}),
        "total of OrderConfirmedEvent.v1 may now be null",
    ),
    "a field may be missing": (
        lambda a, _: message(a, "StockRejected.v1")["payload"]["required"].remove("reason"),
        "reason of StockRejected.v1 may be missing now",
    ),
    "a time is written in another form": (
        lambda a, _: fields(a, CREATED)["occurredAt"].update(pattern=r"^\d+$"),
        "occurredAt of OrderCreatedEvent.v1 had pattern",
    ),
    "a message is no longer sent": (
        lambda a, _: no_longer_send(a, "StockReleased.v1"),
        "StockReleased.v1 is no longer sent: send it beside its newer version until a release",
    ),
    "a new version takes the place of the old one at once": (
        lambda a, _: (send_version_2(a), no_longer_send(a, CREATED)),
        "OrderCreatedEvent.v1 is no longer sent",
    ),
    "a message is deprecated and has no newer version": (
        lambda a, _: message(a, CREATED)["payload"].update(deprecated=True),
        "OrderCreatedEvent.v1 is deprecated, but has no newer version: add that version first",
    ),
    "a message moves to another topic": (
        lambda a, _: _move(a, "PaymentRefunded.v1", "order-events"),
        "PaymentRefunded.v1 is no longer on the topic payment-events",
    ),
    "a message names another source": (
        lambda a, _: message(a, CREATED)["headers"]["properties"]["ce_source"].update(const="/orders"),
        "header ce_source of OrderCreatedEvent.v1 is no longer '/order-service'",
    ),
    "a header is gone": (
        lambda a, _: message(a, CREATED)["headers"]["properties"].pop("ce_time"),
        "header ce_time of OrderCreatedEvent.v1 is gone",
    ),
    "the key is another one": (
        lambda a, _: message(a, CREATED)["bindings"]["kafka"].update(key={"type": "integer"}),
        "key of OrderCreatedEvent.v1 was string and is integer",
    ),
    "a topic has more partitions": (
        lambda a, _: a["channels"]["order-events"]["bindings"]["kafka"].update(partitions=8),
        "order-events had 4 partitions and has 8: keep 4",
    ),
    "a consumer reads a field that messages of the release lack": (
        lambda a, _: read(a, "payment-service", "ChargePayment.v1")["required"].append("urgent"),
        "urgent of ChargePayment.v1 may be missing, but is read by payment-service: read it as before",
    ),
    "a consumer no longer takes null": (
        lambda a, _: read(a, "order-service", "PaymentRefunded.v1")["properties"].update(amount={"type": "object"}),
        "amount of PaymentRefunded.v1 may be null, which is not read",
    ),
    "a consumer takes fewer values": (
        lambda a, _: read(a, "inventory-service", RESERVE)["properties"]["items"]["items"]["properties"][
            "quantity"
        ].update(maximum=10),
        "items.quantity of ReserveStock.v1 had maximum",
    ),
    "a consumer no longer reads a command": (
        lambda a, _: a["operations"]["inventory-service.receives.inventory-commands"]["x-reads"].pop("ShipStock.v1"),
        "ShipStock.v1 is no longer read by inventory-service",
    ),
    "a consumer has another group": (
        lambda a, _: a["operations"]["payment-service.receives.payment-commands"]["bindings"]["kafka"][
            "groupId"
        ].update(const="payments"),
        "the group of payment-service is payments now: keep it",
    ),
    "a path is gone": (
        lambda _, o: o["paths"].pop("/payments/{orderId}"),
        "GET /payments/{orderId} is gone: bring it back",
    ),
    "a method is gone": (
        lambda _, o: o["paths"]["/orders"].pop("get"),
        "GET /orders is gone",
    ),
    "an answer is gone": (
        lambda _, o: o["paths"]["/orders/{orderId}"]["get"]["responses"].pop("404"),
        "the answer 404 of GET /orders/{orderId} is gone",
    ),
    "a field of an answer is gone": (
        lambda _, o: model(o, "OrderView")["properties"].pop("total"),
        "total in the answer 200 of GET /orders/{orderId} is gone",
    ),
    "a field of every error is gone": (
        lambda _, o: model(o, "ErrorView")["properties"].pop("errors"),
        "errors in the answer 503 of POST /orders is gone",
    ),
    "a field of an answer has another type": (
        lambda _, o: model(o, "MoneyView")["properties"].update(amount={"type": "number"}),
        "was string and is number",
    ),
    "an answer says less": (
        lambda _, o: model(o, "OrderStatus")["enum"].remove("REJECTED"),
        "status in the answer 200 of GET /orders/{orderId} is no longer 'REJECTED'",
    ),
    "an answer says what no client knows": (
        lambda _, o: model(o, "OrderStatus")["enum"].append("LOST"),
        "status in the answer 200 of GET /orders/{orderId} may now be 'LOST'",
    ),
    "an answer's header is gone": (
        lambda _, o: o["paths"]["/orders"]["post"]["responses"]["201"]["headers"].pop("Location"),
        "Location, a header of the answer 201, of POST /orders is gone",
    ),
    "a field of a request is required": (
        lambda _, o: model(o, "PlaceOrderRequest")["required"].append("customerId"),
        "customerId in the body of POST /orders is required now",
    ),
    "a field of a request is gone": (
        lambda _, o: model(o, "PlaceOrderRequest")["properties"].pop("customerId"),
        "customerId in the body of POST /orders is gone",
    ),
    "a request may have fewer items": (
        lambda _, o: model(o, "PlaceOrderRequest")["properties"]["items"].update(maxItems=2),
        "items in the body of POST /orders had maxItems",
    ),
    "a parameter is gone": (
        lambda _, o: o["paths"]["/orders"]["get"]["parameters"].pop(0),
        "of GET /orders is gone",
    ),
    "a header of a request is required": (
        lambda _, o: o["paths"]["/orders"]["post"]["parameters"][0].update(required=True),
        "the header Idempotency-Key of POST /orders is required now",
    ),
    "an operation wants credentials": (
        lambda _, o: o["paths"]["/orders"]["post"].update(security=[{"apiKey": []}]),
        "POST /orders wants other credentials now",
    ),
    "every operation wants credentials": (
        lambda _, o: o.update(security=[{"apiKey": []}]),
        "GET /health/live wants other credentials now",
    ),
    "a body has another media type": (
        lambda _, o: o["paths"]["/orders"]["post"]["requestBody"]["content"].update(
            {"text/plain": o["paths"]["/orders"]["post"]["requestBody"]["content"].pop("application/json")}
        ),
        "the body of POST /orders is no longer application/json",
    ),
}
"""What breaks somebody."""

GOOD: Mapping[str, Changing] = {
    "an event has a new field": lambda a, _: fields(a, CREATED).update(channel={"type": "string"}),
    "an event always has a new field": lambda a, _: (
        fields(a, CREATED).update(channel={"type": "string"}),
        message(a, CREATED)["payload"]["required"].append("channel"),
    ),
    "the items of an event have a new field": lambda a, _: fields(a, CREATED)["items"]["items"]["properties"].update(
        colour={"type": "string"}
    ),
    "a message has a new header": lambda a, _: message(a, CREATED)["headers"]["properties"].update(
        traceparent={"type": "string"}
    ),
    "there is a new type": lambda a, _: a["components"]["messages"].update(
        {"OrderShippedEvent.v1": message(a, "OrderCompletedEvent.v1")}
    ),
    "there is a new topic": lambda a, _: a["channels"].update(
        returns=dict(a["channels"]["order-events"], address="returns")
    ),
    "a new version is sent beside the old one": lambda a, _: send_version_2(a),
    "the old version is deprecated beside the new one": lambda a, _: (
        send_version_2(a),
        message(a, CREATED).update(payload=message(a, CREATED)["payload"] | {"deprecated": True}),
    ),
    "a consumer reads a field that has always been there": lambda a, _: (
        read(a, "order-service", "PaymentCaptured.v1")["properties"].update(reference={"type": "string"}),
        read(a, "order-service", "PaymentCaptured.v1")["required"].append("reference"),
    ),
    "a consumer reads a field less": lambda a, _: (
        read(a, "order-service", "StockReserved.v1")["properties"].pop("items"),
        read(a, "order-service", "StockReserved.v1")["required"].remove("items"),
    ),
    "a consumer takes more values": lambda a, _: read(a, "inventory-service", RESERVE)["properties"]["items"]["items"][
        "properties"
    ]["quantity"].update(maximum=10**9),
    "a description is another one": lambda a, _: message(a, CREATED)["payload"].update(description="An order came."),
    "there is a new path": lambda _, o: o["paths"].update({"/returns": o["paths"]["/orders"]}),
    "there is a new answer": lambda _, o: o["paths"]["/orders/{orderId}"]["get"]["responses"].update(
        {"410": {"description": "It was deleted"}}
    ),
    "an answer has a new field": lambda _, o: model(o, "OrderView")["properties"].update(weight={"type": "integer"}),
    "a request may have a new field": lambda _, o: model(o, "PlaceOrderRequest")["properties"].update(
        note={"type": "string"}
    ),
    "a request may have more items": lambda _, o: model(o, "PlaceOrderRequest")["properties"]["items"].update(
        maxItems=10**6
    ),
    "there is a new parameter that may be left out": lambda _, o: o["paths"]["/orders"]["get"]["parameters"].append(
        {"name": "customer", "in": "query", "required": False, "schema": {"type": "string"}}
    ),
    "an operation takes credentials of another kind, too": lambda _, o: o["paths"]["/orders"]["post"][
        "security"
    ].append({"apiKey": []}),
    "a parameter takes one more value": lambda _, o: next(
        each for each in o["paths"]["/orders"]["get"]["parameters"] if each["name"] == "limit"
    )["schema"].update(maximum=10**6),
}
"""What breaks nobody."""
