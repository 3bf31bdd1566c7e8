"""API keys, from `oms api-keys create` to the request that is refused."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from http_api.access.api_keys import ApiKeys, StoredKey, digest_of, new_key
from http_api.access.key_ring import KeyRing
from http_api.access.key_store import add_key, load_keys
from http_api.access.refusal import Unauthenticated
from messaging.postgres.pool import open_pool
from shared_kernel.caller import ANONYMOUS_NAME, Caller, Scope
from tests.cli.commands import Ended, oms
from tests.real_parts.order_process import ORDER, OrderProcess
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows
from tests.real_parts.three_services import service_databases
from tests.real_parts.waiting import until

SHOP = Caller("shop", frozenset({Scope.ORDERS_WRITE}))
KEY = new_key(b"\x01" * 8, "s" * 43)
AWAY = "postgresql://postgres@127.0.0.1:1/away"


@dataclass(frozen=True)
class Installation:
    """The databases of the services, and `oms` for them."""

    folder: Path
    databases: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {f"{name.upper()}_DATABASE_URL": dsn for name, dsn in self.databases.items()}

    async def keys(self, *arguments: str) -> Ended:
        """Run `oms api-keys`."""
        return await oms(self.folder, "api-keys", *arguments, **self.environment)

    def without(self, *names: str) -> "Installation":
        """The same while these databases do not answer."""
        return replace(self, databases=self.databases | dict.fromkeys(names, AWAY))

    async def live(self) -> dict[str, list[str]]:
        """The ids of the keys that each service takes."""
        found = {}
        for name, dsn in self.databases.items():
            async with open_pool(dsn) as pool:
                found[name] = sorted(key_id for key_id, key in (await load_keys(pool)).items() if not key.is_revoked)
        return found

    async def refuse(self, name: str, action: str) -> None:
        """From now on this action fails in the database of a service, like anything that cannot be audited."""
        await rows(self.databases[name], f"alter table audit add check (action <> '{action}') not valid")


@pytest_asyncio.fixture
async def installation(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Installation]:
    """Databases with tables, and nothing that runs."""
    async with service_databases(postgres) as databases:
        yield Installation(tmp_path, databases)


def ring_of(keys: dict[str, StoredKey]) -> KeyRing[StoredKey]:
    """A ring that has these keys."""

    async def load() -> dict[str, StoredKey]:
        return keys

    return KeyRing(load, source="keys", pause=1.0, keep=60.0)


async def test_a_key_names_its_caller() -> None:
    keys = ApiKeys(ring_of({"01" * 8: StoredKey(digest_of(KEY), SHOP)}))

    assert await keys.caller_of(KEY) is SHOP


@pytest.mark.parametrize(
    "text",
    [
        new_key(b"\x01" * 8, "t" * 43),
        new_key(b"\x02" * 8, "s" * 43),
        KEY[:-1],
        KEY + "s",
        KEY.upper(),
        KEY + "\n",
        "oms_",
        "oms_0101010101010101_",
        "oms_" + "x" * 100_000,
        f"oms_{'01' * 8}_{hashlib.sha256(KEY.encode()).hexdigest()[:43]}",
    ],
)
async def test_a_key_is_refused_that_is_not_exactly_right(text: str) -> None:
    keys = ApiKeys(ring_of({"01" * 8: StoredKey(digest_of(KEY), SHOP)}))

    with pytest.raises(Unauthenticated, match="must have a valid access token or API key"):
        await keys.caller_of(text)


async def test_a_key_that_has_expired_is_refused_with_a_sentence() -> None:
    now = [10.0]
    keys = ApiKeys(ring_of({"01" * 8: StoredKey(digest_of(KEY), SHOP, good_until=20.0)}), lambda: now[0])
    await keys.caller_of(KEY)

    now[0] = 20.0
    with pytest.raises(Unauthenticated, match="has expired"):
        await keys.caller_of(KEY)


async def test_whose_key_is_revoked_or_expired_is_told_to_the_audit_trail_alone() -> None:
    revoked = ApiKeys(ring_of({"01" * 8: StoredKey(digest_of(KEY), SHOP, is_revoked=True)}))
    expired = ApiKeys(ring_of({"01" * 8: StoredKey(digest_of(KEY), SHOP, good_until=0.0)}))

    for keys, reason in ((revoked, "the API key is revoked"), (expired, "the API key has expired")):
        with pytest.raises(Unauthenticated) as refused:
            await keys.caller_of(KEY)
        assert (refused.value.reason, refused.value.key) == (reason, "01" * 8)
        assert "01" * 8 not in str(refused.value)
        with pytest.raises(Unauthenticated) as guessed:
            await keys.caller_of(new_key(b"\x01" * 8, "t" * 43))
        assert (str(guessed.value), guessed.value.key) == (guessed.value.reason, None), "it is not that key"


async def test_a_revoked_key_is_loaded_as_such(installation: Installation) -> None:
    made = json.loads((await installation.keys("create", "shop", "-s", "orders:read", "--json")).output)
    await installation.keys("revoke", made["id"])

    async with open_pool(installation.databases["order"]) as pool:
        loaded = await load_keys(pool)

    assert [(key.caller.name, key.is_revoked) for key in loaded.values()] == [("shop", True)]


async def test_a_key_is_shown_once_and_stored_as_a_hash_in_every_service(installation: Installation) -> None:
    ended = await installation.keys("create", "shop", "--scope", "orders:write", "--days", "30", "--json")
    made = json.loads(ended.output)

    listed = json.loads((await installation.keys("list", "--json")).output)
    assert [(key["id"], key["caller"], key["scopes"], key["revokedAt"]) for key in listed] == [
        (made["id"], "shop", ["orders:write"], None)
    ]
    assert made["key"] not in json.dumps(listed)
    for dsn in installation.databases.values():
        async with open_pool(dsn) as pool:
            audited = await pool.fetch("select action, detail ->> 'caller' from audit where action like 'api-key%'")
            assert [tuple(row) for row in audited] == [("api-key.create", "shop")]
            loaded = await load_keys(pool)
            rows = await pool.fetch("select api_keys::text as row from api_keys")
        assert await ApiKeys(ring_of(dict(loaded))).caller_of(made["key"]) == SHOP
        assert made["key"].split("_")[2] not in rows[0]["row"]


async def test_a_key_that_has_the_name_of_orders_without_a_caller_is_not_loaded(installation: Installation) -> None:
    async with open_pool(installation.databases["order"]) as pool:
        await add_key(pool, "0" * 16, digest_of(KEY), Caller(ANONYMOUS_NAME, frozenset({Scope.ORDERS_READ})), None)
        loaded = await load_keys(pool)

    assert loaded == {}


async def test_a_key_opens_the_service_until_it_is_revoked(installation: Installation) -> None:
    with OrderProcess(
        installation.folder,
        installation.environment | {"AUTH": "required", "EVENT_PUBLISHER": "logging"},
        *("serve", "order", "--roles", "api"),
    ) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            assert (await client.post("/orders", json=ORDER)).status_code == 401
            ended = await installation.keys("create", "shop", "-s", "orders:write", "-s", "orders:read")
            key = ended.output.strip()
            headers = {"Authorization": f"Bearer {key}"}

            async def accepted() -> bool:
                return (await client.post("/orders", json=ORDER, headers=headers)).status_code == 201

            await until(accepted, "the new key is accepted")
            assert len((await client.get("/orders", headers=headers)).json()["orders"]) == 1
            assert (await client.get("/metrics", headers=headers)).status_code == 403

            revoked = await installation.keys("revoke", key.split("_")[1])
            assert revoked.output == f"the key {key.split('_')[1]} of shop is revoked\n"

            async def refused() -> bool:
                return (await client.get("/orders", headers=headers)).status_code == 401

            await until(refused, "the revoked key is refused")

            async def recorded() -> bool:
                query = "select detail ->> 'reason' from audit where who = 'unknown' and detail ->> 'key' = $1"
                found = await rows(installation.databases["order"], query, key.split("_")[1])
                return {row[0] for row in found} == {"the API key is revoked"}

            await until(recorded, "the audit trail has which key was refused")
        assert key.split("_")[2] not in service.log


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("create shop --scope orders:steal", 2, "scopes are orders:write"),
        (
            "create anonymous -s orders:read",
            2,
            "orders without a caller belong to 'anonymous', so it is no caller's name",
        ),
        ("create shop", 2, "Missing option '--scope'"),
        ("create shop --scope orders:read --days 0", 2, "Invalid value for '--days'"),
        ("revoke 0000000000000000", 1, "there is no API key '0000000000000000': `oms api-keys list` shows their ids"),
    ],
)
async def test_a_command_that_cannot_be_right_says_why(
    installation: Installation, arguments: str, code: int, says: str
) -> None:
    ended = await installation.keys(*arguments.split())

    assert ended.code == code
    assert says in re.sub(r"[\s│]+", " ", ended.errors)


async def test_a_leaked_key_is_revoked_wherever_that_is_possible(installation: Installation) -> None:
    key_id = json.loads((await installation.keys("create", "shop", "-s", "orders:read", "--json")).output)["id"]

    without_order = await installation.without("order").keys("revoke", key_id)
    assert await installation.live() == {"order": [key_id], "inventory": [], "payment": []}
    assert (without_order.code, without_order.output) == (
        3,
        f"the key {key_id} of shop is revoked in inventory and payment\n",
    )
    assert f"the key {key_id} may still be good in order" in without_order.errors
    assert "the database of ORDER_DATABASE_URL cannot be used" in without_order.errors
    (listed,) = json.loads((await installation.keys("list", "--json")).output)
    assert listed["revokedAt"] is None, "one service takes it"

    as_document = await installation.without("order", "payment").keys("revoke", key_id, "--json")
    assert (as_document.code, json.loads(as_document.output)) == (
        3,
        {"id": key_id, "caller": "shop", "revoked": False, "notReached": ["order", "payment"]},
    )

    whole = await installation.keys("revoke", key_id)
    assert (whole.code, whole.output) == (0, f"the key {key_id} of shop is revoked\n")
    assert await installation.live() == {"order": [], "inventory": [], "payment": []}
    (listed,) = json.loads((await installation.keys("list", "--json")).output)
    assert listed["revokedAt"] is not None


async def test_a_key_that_is_not_found_may_be_where_nobody_could_look(installation: Installation) -> None:
    ended = await installation.without("order").keys("revoke", "0" * 16)

    assert (ended.code, ended.output) == (3, "")
    assert "inventory and payment have no API key '0000000000000000'" in ended.errors


async def test_keys_are_listed_from_the_databases_that_answer(installation: Installation) -> None:
    await installation.keys("create", "shop", "-s", "orders:read")

    ended = await installation.without("order").keys("list", "--json")

    assert (ended.code, [key["caller"] for key in json.loads(ended.output)]) == (3, ["shop"])
    assert "the database of ORDER_DATABASE_URL cannot be used" in ended.errors


async def test_nothing_is_made_or_revoked_while_no_database_answers(installation: Installation) -> None:
    away = installation.without(*installation.databases)

    for arguments in ("create shop -s orders:read", "revoke 0000000000000000", "list"):
        ended = await away.keys(*arguments.split())
        assert (ended.code, ended.output) == (1, ""), arguments
        assert "the database of ORDER_DATABASE_URL cannot be used" in ended.errors


async def test_no_key_is_made_while_a_database_does_not_answer(installation: Installation) -> None:
    ended = await installation.without("payment").keys("create", "shop", "-s", "orders:read")

    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.startswith("no API key was made: the database of PAYMENT_DATABASE_URL cannot be used")
    assert json.loads((await installation.keys("list", "--json")).output) == []


async def test_a_key_that_one_service_refuses_is_good_in_none(installation: Installation) -> None:
    await installation.refuse("payment", "api-key.create")

    ended = await installation.keys("create", "shop", "-s", "orders:read")

    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.startswith("no API key was made: the database of PAYMENT_DATABASE_URL cannot be used")
    assert len(ended.errors.splitlines()) == 1
    assert await installation.live() == {"order": [], "inventory": [], "payment": []}


async def test_a_key_that_cannot_be_taken_back_is_named(installation: Installation) -> None:
    await installation.refuse("payment", "api-key.create")
    await installation.refuse("inventory", "api-key.revoke")

    ended = await installation.keys("create", "shop", "-s", "orders:read")

    ((key_id,), *none) = sorted((await installation.live()).values(), reverse=True)
    assert none == [[], []]
    assert (ended.code, ended.output) == (1, "")
    assert f"; the key {key_id}, which nobody has seen, may be left in inventory: `oms api-keys revoke {key_id}`" in (
        ended.errors
    )


async def test_a_key_is_named_also_when_every_database_went_away_meanwhile(installation: Installation) -> None:
    for name, dsn in installation.databases.items():
        await installation.refuse(name, "api-key.create")
        await rows(
            dsn,
            "create trigger refused before update on api_keys for each statement "
            "execute function audit_is_append_only()",
        )

    ended = await installation.keys("create", "shop", "-s", "orders:read")

    assert (ended.code, ended.output) == (1, "")
    assert "may be left in order and inventory and payment: `oms api-keys revoke " in ended.errors


async def test_a_service_in_memory_has_no_keys(tmp_path: Path) -> None:
    ended = await oms(tmp_path, "api-keys", "list", ORDER_DATABASE_URL="memory")

    assert (ended.code, ended.output) == (1, "")
    assert "is the memory of another process" in ended.errors


@pytest.mark.parametrize("command", ["serve order --roles api", "serve payment --roles relay", "up"])
async def test_a_process_that_listens_to_the_network_refuses_to_start_until_somebody_has_said_who_may_come_in(
    tmp_path: Path, command: str
) -> None:
    ended = await oms(tmp_path, *command.split(), "--host", "0.0.0.0", EVENT_PUBLISHER="kafka")  # noqa: S104

    assert (ended.code, ended.output) == (2, "")
    assert ended.errors == (
        "listening on 0.0.0.0 without AUTH lets everybody who reaches it place and read orders: "
        "set AUTH=required (docs/security.md), or AUTH=off if that is what you want\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"AUTH": "on"}, "AUTH Input should be 'off' or 'required' (it is 'on')"),
        ({"AUTH": "required", "AUTH_ISSUER": "x"}, "set all three"),
        (
            {"AUTH_ISSUER": "x", "AUTH_AUDIENCE": "y", "AUTH_JWKS_URL": "https://z"},
            "AUTH_ISSUER is set, so AUTH=required must be, too",
        ),
        ({"AUTH_JWKS_URL": "http://issuer.example/keys"}, "must be an https:// address"),
        ({"AUTH_LEEWAY_SECONDS": "600"}, "less than or equal to 60"),
    ],
)
async def test_settings_that_would_let_the_wrong_people_in_are_refused(
    tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    ended = await oms(tmp_path, "serve", "order", "--roles", "api", **settings)

    assert (ended.code, ended.output) == (2, "")
    assert says in ended.errors
