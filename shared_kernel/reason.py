"""A reason is a sentence for a person. One service gives it and another stores it, and both use this one rule.

A reason is cleaned and never refused: the fact that something was declined matters more than the reason.
"""

import unicodedata

MAX_REASON = 500
NO_REASON = "no reason was given"
_READ = 20 * MAX_REASON  # characters of a longer text that are looked at

# A character of a newer Unicode (Cn) stays, because it may be printable.
_INVISIBLE = {"Cc", "Cs", "Co", "Zs", "Zl", "Zp"}


def reason_of(text: object, otherwise: str = NO_REASON) -> str:
    """The text as one line of 1 to 500 characters, or `otherwise` when it is no text or no printable character is left.
    A clean reason is returned unchanged."""
    if not isinstance(text, str):
        return otherwise
    categories = ((character, unicodedata.category(character)) for character in text[:_READ])
    # A format character (Cf), such as a change of the direction of writing, would also affect the text around it.
    spaced = "".join(" " if category in _INVISIBLE else letter for letter, category in categories if category != "Cf")
    return " ".join(spaced.split())[:MAX_REASON].rstrip() or otherwise
