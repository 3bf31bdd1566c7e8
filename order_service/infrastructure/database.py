"""The order service's database: its name where it is embedded, and its schema."""

from pathlib import Path

NAME = "orders"
MIGRATIONS = Path(__file__).parent / "migrations"
