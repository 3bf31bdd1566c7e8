"""Traces: contexts, spans, and one trace from POST to CONFIRMED."""
