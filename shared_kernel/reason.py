"""A reason: a sentence for a person that one service gives and another keeps. One rule for it, on both sides.

What a stranger wrote is made fit to keep, never refused: why something was declined matters less than that it was.
"""

import unicodedata

MAX_REASON = 500
NO_REASON = "no reason was given"
_READ = 20 * MAX_REASON  # of a longer text nobody would read the rest

# Not known here does not mean not printable: a character of a newer Unicode (Cn) stays.
_INVISIBLE = {"Cc", "Cs", "Co", "Zs", "Zl", "Zp"}


def reason_of(text: str, otherwise: str = NO_REASON) -> str:
    """The text as one line of 1 to 500 characters; `otherwise` when nothing of it can be read. A reason stays as it
    is."""
    categories = ((character, unicodedata.category(character)) for character in text[:_READ])
    # Formats (Cf), such as a change of the direction of writing, would also change what stands around the reason.
    spaced = "".join(" " if category in _INVISIBLE else letter for letter, category in categories if category != "Cf")
    return " ".join(spaced.split())[:MAX_REASON].rstrip() or otherwise
