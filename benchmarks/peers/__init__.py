"""Durable-execution engines beside this system, with the same flow, on the same machine and in the same run."""
