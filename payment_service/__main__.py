"""`python -m payment_service`: the same as `oms serve payment`."""

import sys

from oms.cli import app

app(["serve", "payment", *sys.argv[1:]])
