"""The inventory service's settings: environment variables that are checked once, at the start."""

from messaging.runtime.settings import DatabaseUrl, ServiceSettings


class InventorySettings(ServiceSettings):
    """INVENTORY_DATABASE_URL, and the settings of every service."""

    inventory_database_url: DatabaseUrl = "embedded"
