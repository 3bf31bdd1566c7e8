"""A choice that a person types, such as the value of a setting."""

from enum import StrEnum
from typing import Self


class Choice(StrEnum):
    """One of several words. Capitals and spaces around the word do not matter."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        written = str(value).strip().lower()
        return next((choice for choice in cls if choice.value.lower() == written), None)
