"""The adapters of the payment service: PostgreSQL and memory, the gateways, messages in and out."""
