"""`python -m order_service`: the same as `oms serve order`."""

import sys

from oms.cli import app

app(["serve", "order", *sys.argv[1:]])
