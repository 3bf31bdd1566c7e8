"""The whole system in a deterministic simulation: the unchanged product between models of what is outside."""
