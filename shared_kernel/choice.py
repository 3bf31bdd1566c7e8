"""A choice that a person writes, such as the value of a setting."""

from enum import StrEnum
from typing import Self


class Choice(StrEnum):
    """One of some words, in capitals or not, with or without spaces around it."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        written = str(value).strip().lower()
        return next((choice for choice in cls if choice.value.lower() == written), None)
