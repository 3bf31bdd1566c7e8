"""`python -m inventory_service`: the same as `oms serve inventory`."""

import sys

from oms import main

main(["serve", "inventory", *sys.argv[1:]])
