"""Text that PostgreSQL can store."""


def storable(text: str) -> str:
    """The text without NUL and lone surrogates. PostgreSQL cannot store these, and what comes from outside has them."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()
