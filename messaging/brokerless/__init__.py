"""Publishers without a broker: one within this process, and one into the log."""
