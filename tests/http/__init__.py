"""The HTTP API, called through ASGI: everything below the socket is as in production."""
