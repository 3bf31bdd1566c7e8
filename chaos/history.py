"""What clients asked for and what they were told, with the times of both: the witness that the checks believe."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Operation(StrEnum):
    """The requests of clients."""

    PLACE = "place"
    READ = "read"
    CANCEL = "cancel"
    COMPLETE = "complete"


@dataclass(slots=True)
class Call:
    """One request. Times are seconds of one monotonic clock.

    `order` is the Idempotency-Key with which the order was placed: the client's name for it, which is known before its
    id is. `http_status` is None while there is no answer. `version` and `status` are those of the order in the answer.
    """

    client: int
    operation: Operation
    order: str
    began: float
    ended: float | None = None
    http_status: int | None = None
    order_id: str | None = None
    version: int | None = None
    status: str | None = None

    @property
    def is_known(self) -> bool:
        """False when nobody can tell whether it was done: there was no answer, or a 503. A change whose 503 comes from
        the wait for a standby may still be stored."""
        return self.http_status is not None and self.http_status != 503

    @property
    def succeeded(self) -> bool:
        """True for a 2xx: a promise that must be kept."""
        return self.http_status is not None and 200 <= self.http_status < 300


@dataclass(slots=True)
class History:
    """The calls of one round, in the order in which they began."""

    calls: list[Call] = field(default_factory=list)

    @contextmanager
    def call(self, client: int, operation: Operation, order: str) -> Iterator[Call]:
        """A call that begins now and ends with the block. It is in the history from its begin on."""
        call = Call(client, operation, order, time.monotonic())
        self.calls.append(call)
        yield call
        call.ended = time.monotonic()

    @property
    def order_ids(self) -> dict[str, str]:
        """The ids of the orders whose clients were told an id, by the client's name for the order."""
        return {call.order: call.order_id for call in self.calls if call.order_id is not None}

    def write(self, path: Path) -> None:
        """One JSON object a line, for checkers in any language."""
        with path.open("w") as file:
            file.writelines(json.dumps(asdict(call)) + "\n" for call in self.calls)
