"""The reasons for which a request is refused before its route runs."""


class Unauthenticated(Exception):
    """The caller is not known: 401. The text is a sentence about the header Authorization."""


NOT_VALID = "Authorization must have a valid access token or API key"
"""Said of everything that a guesser might learn from."""


class CannotAuthenticate(Exception):
    """Nobody can be authenticated now: 503. The text says what is away."""
