"""`python -m order_service`: the same as `oms serve order`."""

import sys

from oms import main

main(["serve", "order", *sys.argv[1:]])
