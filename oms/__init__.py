"""The command line, and the process that any service runs in."""
