"""Values that mean the same to every service: money, products, quantities and reasons. It uses the standard library
only.

(A shared kernel in the sense of Evans' Domain-Driven Design: small, stable, and changed only by agreement.)
"""
