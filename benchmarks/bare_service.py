"""The baseline that stores nothing: a FastAPI handler as anybody would write it, with our own models."""

from fastapi import FastAPI
from uuid_utils.compat import uuid7

from order_service.api.schemas import PlacedOrder, PlaceOrderRequest

app = FastAPI()


@app.post("/orders", status_code=201)
async def place_order(request: PlaceOrderRequest) -> PlacedOrder:  # noqa: ARG001  it is parsed, and that is all
    """Answer with a new id."""
    return PlacedOrder(orderId=str(uuid7()), status="PENDING")
