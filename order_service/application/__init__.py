"""What the order service does, one use case a file. It knows the domain and the ports; no framework, no driver."""
