"""The order service's settings: environment variables that are checked once, at the start."""

from pydantic import Field

from messaging.runtime.settings import DatabaseUrl, ServiceSettings


class OrderSettings(ServiceSettings):
    """ORDER_DATABASE_URL, and STEP_TIMEOUT_SECONDS: how long a step of the fulfilment may take."""

    order_database_url: DatabaseUrl = "embedded"
    step_timeout_seconds: float = Field(30.0, gt=0, le=86_400)
