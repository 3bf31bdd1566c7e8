"""The common parts of all HTTP APIs: the shape of errors, health, metrics, request ids."""
