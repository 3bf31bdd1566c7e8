"""The use cases of the payment service, and their ports."""
