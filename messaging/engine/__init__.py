"""The loops that make it go: relay, consumer, group commit. They know the ports, and no driver."""
