"""Publishers that need no broker: within this process, and into the log."""
