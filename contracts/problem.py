"""A problem: a change that breaks somebody, as one sentence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What it is about, the field in it if it is about one, what became of that, and what to do."""

    name: str
    field: str
    what: str
    advice: str

    def sentence(self, since: str) -> str:
        """For whoever wants to merge the change. `since` is the release that promised otherwise."""
        about = f"{self.field} of {self.name}" if self.field else self.name
        return f"Since {since}, {about} {self.what}: {self.advice}."
