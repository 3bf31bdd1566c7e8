"""The inventory service's database: its name where it is embedded, and its schema."""

from pathlib import Path

NAME = "inventory"
MIGRATIONS = Path(__file__).parent / "migrations"
