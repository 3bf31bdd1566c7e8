"""The methods of HTTP by name. A client may invent others, so metrics and records name only these."""

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
