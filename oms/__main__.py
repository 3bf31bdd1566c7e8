"""`python -m oms`: the same as `oms`."""

from oms import main

main()
