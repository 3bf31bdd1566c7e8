"""`python -m payment_service`: the same as `oms serve payment`."""

import sys

from oms import main

main(["serve", "payment", *sys.argv[1:]])
