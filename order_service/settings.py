"""The order service's settings: environment variables that are checked once, at the start."""

from pydantic import Field

from messaging.runtime.settings import DatabaseUrl, ServiceSettings
from order_service.application.cell import MOST


class OrderSettings(ServiceSettings):
    """ORDER_DATABASE_URL; STEP_TIMEOUT_SECONDS: how long a step of the fulfilment may take; CELL: the number of an
    installation that is one of several."""

    order_database_url: DatabaseUrl = "embedded"
    step_timeout_seconds: float = Field(30.0, gt=0, le=86_400)
    cell: int | None = Field(None, ge=0, le=MOST)
