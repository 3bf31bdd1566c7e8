"""The inventory service's configuration: environment variables, checked once at the start."""

from messaging.runtime.settings import DatabaseUrl, ServiceSettings


class InventorySettings(ServiceSettings):
    """INVENTORY_DATABASE_URL, beside what every service has."""

    inventory_database_url: DatabaseUrl = "embedded"
