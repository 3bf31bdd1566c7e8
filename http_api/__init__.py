"""What the HTTP APIs of all services have in common: the shape of errors, health, metrics, request ids."""
