"""One order's life fits every terminal, and nothing of it is left out."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from messaging.ports.order_view import Wait
from oms.order_life import Entry, Life
from oms.order_life_table import life_document, print_life

AT = datetime(2026, 11, 26, 4, 19, 0, 951_000, UTC)
ORDER_ID = UUID("01a21615-907a-71d6-9d01-538f1022bd9c")
MESSAGE = "01a21615-907a-71d6-9d01-5391f86566bd"
SENT = Entry(AT, "order", "ReserveStock", "", MESSAGE, "inventory-commands", 2, 7, None, "not handled by inventory")
QUEUED = Entry(AT, "order", "ReleaseStock", "", MESSAGE, "inventory-commands", outbox_row=12)
WAIT = Wait("StockReserved or StockRejected", AT + timedelta(seconds=30))


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], life: Life, width: int, now: datetime = AT
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    print_life(life, now)
    return capsys.readouterr().out


def life(*entries: Entry, waits: tuple[Wait, ...] = ()) -> Life:
    states = {"order": {"status": "PENDING"}}
    return Life(ORDER_ID, states, entries, [("order", wait) for wait in waits], [], [], {})


@pytest.mark.parametrize("width", [20, 44, 80, 100, 200])
def test_ids_and_places_are_whole_on_any_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    output = printed(monkeypatch, capsys, life(SENT), width)
    joined = "".join(output.split())

    assert "…" not in output
    if width >= 80:
        assert MESSAGE in joined
        assert "inventory-commands[2]@7" in joined
    assert ("outcome" in output) == (width == 200), "columns where there is room, and lines where there is none"


def test_what_is_waited_for_is_told_with_its_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    early = printed(monkeypatch, capsys, life(SENT, waits=(WAIT,)), 200, AT + timedelta(seconds=10))
    late = printed(monkeypatch, capsys, life(SENT, waits=(WAIT,)), 200, AT + timedelta(seconds=40))
    never = printed(monkeypatch, capsys, life(SENT, waits=(Wait("an operator", None),)), 200)

    assert "waits for      order: StockReserved or StockRejected, until 2026-11-26 04:19:30 (in 20 s)" in early
    assert "(10 s ago)" in late
    assert "waits for      order: an operator, without a limit" in never


def test_a_life_over_midnight_shows_its_days(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    next_day = Entry(AT + timedelta(days=1), "order", "CANCELLED", "its stock was not reserved in time")
    output = printed(monkeypatch, capsys, life(SENT, next_day), 200)

    assert "2026-11-26 04:19:00.951" in output
    assert "2026-11-27 04:19:00.951" in output


def test_a_message_in_the_outbox_has_its_row_and_no_offset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "order outbox, row 12" in printed(monkeypatch, capsys, life(QUEUED), 200)
    (step,) = life_document(life(QUEUED))["steps"]
    assert (step["topic"], step["outboxRow"], step["offset"]) == ("inventory-commands", 12, None)
