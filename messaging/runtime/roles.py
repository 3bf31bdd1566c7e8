"""The roles of a process beside its API: its relay, its consumer and its sweeps."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from messaging.engine.background import every, running
from messaging.engine.consumer import Consumer
from messaging.engine.relay import Relay
from messaging.ports.subscription import CaughtUp, Subscription, group_of
from messaging.runtime.settings import Role
from messaging.runtime.storage import ServiceStorage
from messaging.runtime.transport import Transport

_SWEEP_PARKED_EVERY = 1.0
_KEEP_HOUSE_EVERY = 3600.0
_NOTICE_TIMELINE_EVERY = 10.0
_SEAL_AUDIT_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """An action that the consumer role of a service repeats after so many seconds."""

    name: str
    seconds: float
    action: Callable[[], Awaitable[object]]


@asynccontextmanager
async def run_roles(
    roles: frozenset[Role],
    service: str,
    storage: ServiceStorage,
    transport: Transport,
    *,
    subscriptions: Sequence[Subscription],
    sweeps: Callable[[CaughtUp], Sequence[Sweep]] = lambda _: (),
) -> AsyncIterator[Relay | None]:
    """Run the roles during the block, which gets the relay if there is one. Leaving stops the consumer first, and then
    the relay after its batches. If a role ends early, the block is cancelled and WorkEnded is raised."""
    async with AsyncExitStack() as stack:
        relay = None
        if roles:  # each has a port that may refuse somebody
            stack.push_async_callback(storage.refused.close)
            await stack.enter_async_context(running({f"the {service} record of refusals": storage.refused.run()}))
        if Role.RELAY in roles:
            relay = Relay(service, storage.outbox, transport.publishers(service))
            await stack.enter_async_context(running({f"the {service} relay": relay.run()}))
            stack.push_async_callback(relay.finish_batches)
        if Role.CONSUMER in roles:
            consumer = Consumer(service, subscriptions, storage.failures)
            own = (
                Sweep("inbox partitions", _KEEP_HOUSE_EVERY, storage.keep_house),
                Sweep("the database's timeline", _NOTICE_TIMELINE_EVERY, storage.notice_timeline),
                Sweep("unsealed audit entries", _SEAL_AUDIT_EVERY, storage.seal_audit),
                Sweep("parked records", _SWEEP_PARKED_EVERY, consumer.sweep),
            )
            caught_up = await stack.enter_async_context(
                transport.deliver(group_of(service), consumer.topics, consumer.handle)
            )
            works = {
                f"the {service} sweep of {sweep.name}": every(sweep.seconds, sweep.action, sweep.name)
                for sweep in (*own, *sweeps(caught_up))
            }
            await stack.enter_async_context(running(works))
        yield relay
