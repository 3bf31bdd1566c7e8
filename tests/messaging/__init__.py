"""The mechanism: group commit, the outbox, publishing and the relay."""
