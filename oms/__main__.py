"""`python -m oms`: the same as `oms`."""

from oms.cli import app

app()
