"""A campaign of faults against the whole system, and the proof of what it kept: `python -m chaos`."""
