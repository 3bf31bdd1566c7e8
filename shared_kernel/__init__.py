"""Values that mean the same to every service: money, and what may be ordered of what. The standard library only.

(A shared kernel in the sense of Evans' Domain-Driven Design: small, stable, and changed only by agreement.)
"""
