"""The mechanism all services share: decide, then commit; publish what was committed, exactly once. It knows no service.

Pure (no driver, no framework; what application layers may import): `message`, `changes`, `commit`, `publishing`.
"""
