"""`oms` as it would be if nobody waited for the standbys before telling of a commit that is visible."""

from messaging.postgres import durability

for name, value in {"SYNCHRONOUS": "false", "AWAIT_STANDBYS": "select 1 where false"}.items():
    setattr(durability, name, value)

if __name__ == "__main__":
    from oms.cli import app  # what imports the two must see the new ones

    app()
