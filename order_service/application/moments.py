"""The moments in which use cases decide."""

from dataclasses import dataclass
from datetime import timedelta

from order_service.application.ports import Clock, NewId
from order_service.domain.fulfilment import Moment


@dataclass(frozen=True, slots=True)
class Moments:
    """What a decision is told from outside. `step_timeout` is how long an answer may take."""

    clock: Clock
    new_id: NewId
    step_timeout: timedelta

    def __call__(self) -> Moment:
        """Now, with fresh ids."""
        return Moment(self.clock(), self.new_id(), self.new_id(), self.new_id(), self.step_timeout)
