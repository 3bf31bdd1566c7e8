"""The command line, as processes of their own wherever that makes a difference."""
