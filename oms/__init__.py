"""The command line, and the process of every service."""
