"""The HTTP API: the only part of the service with FastAPI and models of requests."""
