"""`make attack`: attacks on a whole system that asks for credentials, on this machine only and bounded in time."""
