"""The loops of a service: relay, consumer, group commit. They use the ports and no driver."""
