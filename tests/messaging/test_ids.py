"""New ids: UUIDs of version 7, as the database gives them back."""

from itertools import pairwise
from uuid import RFC_4122, UUID

from messaging.runtime.ids import uuid7


def test_ids_are_uuids_of_version_7_in_the_order_in_which_they_were_made() -> None:
    ids = [uuid7() for _ in range(10_000)]

    assert all(isinstance(each, UUID) and (each.version, each.variant) == (7, RFC_4122) for each in ids)
    assert all(earlier < later for earlier, later in pairwise(ids))


def test_an_id_is_the_same_value_as_pythons_uuid_of_its_text() -> None:
    made = uuid7()

    again = UUID(str(made))

    assert made == again
    assert {made: "found"}[again] == "found"
