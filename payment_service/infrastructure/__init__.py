"""The adapters of the payment service: PostgreSQL, memory, the gateways, and messages."""
