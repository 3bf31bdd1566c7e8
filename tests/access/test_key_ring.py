"""The keys of a place that may be slow or away."""

import asyncio
from collections.abc import Mapping

import pytest

from http_api.access.key_ring import KeyRing
from http_api.access.refusal import CannotAuthenticate


class Place:
    """The place of the keys, with a clock."""

    def __init__(self) -> None:
        self.keys: Mapping[str, int] = {"a": 1}
        self.is_away = False
        self.loads = 0
        self.now = 0.0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def load(self) -> Mapping[str, int]:
        self.loads += 1
        await self.may_answer.wait()
        if self.is_away:
            raise ConnectionError("away")
        return dict(self.keys)

    def ring(self) -> KeyRing[int]:
        return KeyRing(self.load, source="the place", pause=10.0, keep=100.0, seconds=lambda: self.now)


async def test_a_known_key_is_not_loaded_again() -> None:
    place = Place()
    ring = place.ring()

    assert [await ring.find("a") for _ in range(3)] == [1, 1, 1]
    assert place.loads == 1


async def test_those_who_ask_during_a_load_share_it() -> None:
    place = Place()
    ring = place.ring()
    place.may_answer.clear()
    asking = [asyncio.create_task(ring.find(name)) for name in ("a", "b", "c", "a")]
    await asyncio.sleep(0)
    place.may_answer.set()

    assert await asyncio.gather(*asking) == [1, None, None, 1]
    assert place.loads == 1


async def test_an_unknown_id_leads_to_a_load_but_only_to_one_in_each_pause() -> None:
    place = Place()
    ring = place.ring()
    await ring.find("a")
    place.keys = {"a": 1, "b": 2}

    assert await ring.find("b") is None, "the last load is too recent"
    place.now = 10.0
    assert await ring.find("b") == 2
    assert place.loads == 2


async def test_while_the_place_is_away_the_last_keys_are_good_for_a_time() -> None:
    place = Place()
    ring = place.ring()
    await ring.find("a")
    place.is_away = True

    place.now = 100.0
    assert await ring.find("a") == 1
    place.now = 101.0
    with pytest.raises(CannotAuthenticate, match="the place cannot be read"):
        await ring.find("a")

    place.is_away, place.now = False, 120.0
    assert await ring.find("a") == 1


async def test_a_place_that_is_away_is_not_asked_by_every_caller() -> None:
    place = Place()
    place.is_away = True
    ring = place.ring()

    for _ in range(100):
        with pytest.raises(CannotAuthenticate):
            await ring.find("a")

    assert place.loads == 1


async def test_the_keys_are_another_object_exactly_when_they_have_changed() -> None:
    place = Place()
    ring = place.ring()
    await ring.refresh()
    before = ring.keys

    place.now = 20.0
    await ring.refresh()
    assert ring.keys is before

    place.now, place.keys = 40.0, {"b": 2}
    await ring.refresh()
    assert ring.keys == {"b": 2}
