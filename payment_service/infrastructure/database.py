"""The payment service's database: its name in the embedded PostgreSQL, and its migrations."""

from pathlib import Path

NAME = "payments"
MIGRATIONS = Path(__file__).parent / "migrations"
