"""The payment service's database: its name where it is embedded, and its schema."""

from pathlib import Path

NAME = "payments"
MIGRATIONS = Path(__file__).parent / "migrations"
