"""One hot product against many: all orders change one row of stock, or one of a thousand."""

from collections import defaultdict

from benchmarks.environment import Environment
from benchmarks.fulfilment import sustained
from benchmarks.installation import plan_three_services, running_installation
from benchmarks.plan import in_turns
from benchmarks.table import Aim, Figure, Samples

_MANY = 1000


async def measure(environment: Environment) -> list[Figure]:
    """Three services, in turns with orders for one product and with orders for each of a thousand."""
    rates: dict[int, list[float]] = defaultdict(list)
    rounds = environment.plan.rounds
    for number, products in in_turns((1, _MANY), rounds):
        environment.say(f"stock: round {number} of {rounds}, {products:,} products")
        start = running_installation(await plan_three_services(environment), products)
        turn = await sustained(environment, start, seconds=environment.plan.short_seconds, products=products)
        rates[products].append(turn.per_second)
    return [
        Figure(
            "POST to CONFIRMED, all orders want one product",
            Samples(tuple(rates[1]), "/s"),
            Samples(tuple(rates[_MANY]), "/s"),
            f"{_MANY:,} products:",
            (Aim(0.9, at_least=True),),
        )
    ]
