"""`python -m inventory_service`: the same as `oms serve inventory`."""

import sys

from oms.cli import app

app(["serve", "inventory", *sys.argv[1:]])
