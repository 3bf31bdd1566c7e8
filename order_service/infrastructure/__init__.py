"""The adapters of the order service. Only these have SQL."""
