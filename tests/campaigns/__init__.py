"""Measurements that take minutes, for the figures in the documentation. pytest does not collect them."""
