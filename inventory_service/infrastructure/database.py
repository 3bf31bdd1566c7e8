"""The inventory service's database: its name in the embedded PostgreSQL, and its migrations."""

from pathlib import Path

NAME = "inventory"
MIGRATIONS = Path(__file__).parent / "migrations"
