"""The use cases of the order service, one in each file. They use the domain and the ports, no framework, no driver."""
