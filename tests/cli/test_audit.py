"""`oms audit`: an operator's commands are in the trail, and the trail is checked."""

import json
import socket
from pathlib import Path

import asyncpg

from messaging.ports.failures import Failure
from messaging.ports.record import Record
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool
from tests.cli.commands import oms

ORDER_ID = "019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"
RECORD = Record("inventory-events", 2, 41, ORDER_ID, {"ce_type": "StockReserved"}, b"\xff not JSON")


async def test_who_did_what_is_listed_and_verified_and_what_was_changed_is_named(tmp_path: Path, database: str) -> None:
    environment = {"ORDER_DATABASE_URL": database}
    async with open_pool(database) as pool:
        await PostgresFailures(pool).bury(Failure(RECORD, "it is not JSON", 1))
    replayed = await oms(
        tmp_path, "dead-letters", "replay", "--all", "-s", "order", OMS_OPERATOR="anna\x1b[1m", **environment
    )
    listed = await oms(tmp_path, "audit", "list", "order", "--order", ORDER_ID, "--json", **environment)
    lines = await oms(tmp_path, "audit", "list", "order", COLUMNS="40", **environment)
    owner = await asyncpg.connect(database)
    seal = (await owner.fetchval("select hash from seal_audit()")).hex()
    verified = await oms(tmp_path, "audit", "verify", "order", "--seal", seal, **environment)
    elsewhere = await oms(tmp_path, "audit", "verify", "order", "--seal", "ab" * 32, **environment)
    await owner.execute(
        "alter table audit disable trigger append_only; update audit set who = 'nobody' where id = 2; "
        "alter table audit enable always trigger append_only"
    )
    changed = await oms(tmp_path, "audit", "verify", "order", **environment)
    as_json = await oms(tmp_path, "audit", "verify", "order", "--json", **environment)
    await owner.close()

    assert replayed.code == 0, replayed.errors
    (entry,) = json.loads(listed.output)
    assert (entry["service"], entry["action"], entry["outcome"]) == ("order", "dead-letter.replay", "done")
    assert entry["who"].startswith("anna[1m (")
    assert entry["who"].endswith(f"@{socket.gethostname()})"), "the name that was given, and the account"
    assert (entry["orderId"], entry["role"]) == (ORDER_ID, "postgres")
    replay, migrate = lines.output.splitlines()
    assert "schema.migrate" in migrate
    assert f"order={ORDER_ID} deadLetter=1 topic=inventory-events partition=2 offset=41" in replay
    assert (verified.code, verified.errors) == (0, "")
    assert verified.output == (f"order: everything matches; entries 2, seals 1, not sealed yet 0; seal 1 is {seal}\n")
    assert elsewhere.code == 1
    assert "seals were removed, or all were made anew" in elsewhere.errors
    assert (changed.code, changed.errors) == (1, "order: entry 2 is not as it was written\n")
    assert as_json.code == 1
    assert json.loads(as_json.output) == [
        {"service": "order", "matches": False, "flaw": "entry 2 is not as it was written"}
    ]


async def test_arguments_that_cannot_be_right_are_told_in_a_sentence(tmp_path: Path) -> None:
    seal = await oms(tmp_path, "audit", "verify", "--seal", "beef")
    order = await oms(tmp_path, "audit", "list", "--order", "17")
    memory = await oms(tmp_path, "audit", "verify", "order", ORDER_DATABASE_URL="memory")

    assert seal.code == 2
    assert "a seal has 64 hexadecimal digits, not 'beef'" in seal.errors
    assert order.code == 2
    assert memory.code == 1
    assert memory.errors.startswith("ORDER_DATABASE_URL=memory is the memory of another process")
