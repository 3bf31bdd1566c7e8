"""The reasons for which a request is refused before its route runs."""


class Unauthenticated(Exception):
    """The caller is not known: 401. The text is a sentence about the header Authorization. `reason`, and the id of an
    API key, `key`, are for the audit trail, and the answer does not tell them."""

    def __init__(self, sentence: str, *, reason: str | None = None, key: str | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason or sentence
        self.key = key


NOT_VALID = "Authorization must have a valid access token or API key"
"""Said of everything that a guesser might learn from."""


class CannotAuthenticate(Exception):
    """Nobody can be authenticated now: 503. The text says what is away."""
