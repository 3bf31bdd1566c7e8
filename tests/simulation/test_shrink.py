"""A history that fails is made shorter, and still fails."""

from simulation.shrink import shrink


def test_orders_and_faults_that_are_not_needed_are_left_out() -> None:
    def violations(seed: int, orders: int, without: frozenset[str]) -> list[str]:
        assert seed == 7
        return ["an order is lost"] if orders >= 5 and "database crashed" not in without else []

    sentence = shrink(7, 40, ["process killed", "clock wrong", "database crashed"], frozenset(), violations)

    assert sentence.endswith('python -m simulation --replay 7 --orders 5 --without "clock wrong,process killed"')


def test_what_needs_all_of_it_stays_as_it_is() -> None:
    def violations(_seed: int, orders: int, without: frozenset[str]) -> list[str]:
        return ["an order is lost"] if orders == 40 and not without else []

    assert shrink(7, 40, ["process killed"], frozenset(), violations).endswith("--replay 7 --orders 40")


def test_what_the_campaign_has_left_out_stays_out() -> None:
    def violations(_seed: int, _orders: int, without: frozenset[str]) -> list[str]:
        return ["an order is lost"] if without == {"network cut"} else []

    sentence = shrink(7, 2, ["process killed"], frozenset({"network cut"}), violations)

    assert sentence.endswith('--replay 7 --orders 2 --without "network cut"')
