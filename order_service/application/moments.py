"""The moments at which use cases decide."""

from dataclasses import dataclass
from datetime import timedelta

from order_service.application.ports import Clock, NewId
from order_service.domain.fulfilment import Moment


@dataclass(frozen=True, slots=True)
class Moments:
    """Makes the Moment of a decision. `step_timeout` is how long a partner's answer may take."""

    clock: Clock
    new_id: NewId
    step_timeout: timedelta

    def __call__(self) -> Moment:
        """The present time and fresh ids."""
        return Moment(self.clock(), self.new_id(), self.new_id(), self.new_id(), self.step_timeout)
