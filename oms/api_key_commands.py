"""`oms api-keys`: keys of callers that have no access tokens. Every service has every key."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from http_api.access.api_keys import digest_of, new_key
from http_api.access.key_store import add_key, list_keys, revoke_key
from messaging.postgres.pool import Pool
from oms.databases import changing
from oms.environment import CannotDo, run
from oms.output import AsJson, cells, print_json, print_list
from oms.services import SERVICES
from shared_kernel.caller import MAX_CALLER, Caller, Scope, is_caller_name

Result = TypeVar("Result")

api_keys = typer.Typer(no_args_is_help=True, help="Keys of callers that have no access tokens.")

_SCOPES = ", ".join(Scope)


@api_keys.command("create")
def create(
    caller: Annotated[str, typer.Argument(help="Whose key it is. Orders belong to this name.")],
    scope: Annotated[list[str], typer.Option("--scope", "-s", help=f"What the caller may do: {_SCOPES}.")],
    days: Annotated[
        int | None, typer.Option("--days", help="How long it is good. [default: for ever]", min=1, max=3650)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and show it once. Only its hash is stored."""
    owner = Caller(_name(caller), frozenset(map(_scope, scope)))
    key_id = secrets.token_bytes(8)
    key = new_key(key_id, secrets.token_urlsafe(32))
    good_for = timedelta(days=days) if days is not None else None

    async def main() -> None:
        await _in_every_database(lambda pool: add_key(pool, key_id.hex(), digest_of(key), owner, good_for))
        if as_json:
            print_json({"id": key_id.hex(), "key": key, "caller": owner.name, "scopes": sorted(owner.scopes)})
            return
        typer.echo(key)
        typer.echo(
            f"{owner.name} has the key {key_id.hex()}. It is shown this once: keep it where secrets are.", err=True
        )

    run(main())


@api_keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id of the key, which is between `oms_` and its secret.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key. Running processes refuse it within ten seconds."""

    async def main() -> None:
        names = await _in_every_database(lambda pool: revoke_key(pool, key_id))
        name = next((name for name in names if name is not None), None)
        if name is None:
            raise CannotDo(f"there is no API key {key_id!r}: `oms api-keys list` shows their ids")
        if as_json:
            print_json({"id": key_id, "caller": name, "revoked": True})
        else:
            typer.echo(f"the key {key_id} of {name} is revoked")

    run(main())


@api_keys.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the keys, oldest first. Their secrets are nowhere."""

    from rich.table import Table

    async def main() -> None:
        found = {key.id: key for keys in await _in_every_database(list_keys) for key in keys}
        keys = sorted(found.values(), key=lambda key: (key.created_at, key.id))
        documents = [
            {
                "id": key.id,
                "caller": key.caller,
                "scopes": list(key.scopes),
                "createdAt": key.created_at,
                "expiresAt": key.expires_at,
                "revokedAt": key.revoked_at,
            }
            for key in keys
        ]
        table = Table("id", "caller", "scopes", "created", "expires", "revoked", title="API keys", title_justify="left")
        for key in keys:
            times = (f"{time:%F %T}" if time else "" for time in (key.created_at, key.expires_at, key.revoked_at))
            table.add_row(*cells(key.id, key.caller, " ".join(key.scopes), *times))
        print_list(documents, table, as_json=as_json, otherwise="API keys: none")

    run(main())


async def _in_every_database(action: Callable[[Pool], Awaitable[Result]]) -> list[Result]:
    """Do it in the database of each service. What was done in the first of them can be done again."""
    results = []
    for service in SERVICES.values():
        async with changing(service) as pool:
            results.append(await action(pool))
    return results


def _name(text: str) -> str:
    if not is_caller_name(text):
        raise typer.BadParameter(f"a caller has a name of 1 to {MAX_CALLER} printable characters, not {text!r}")
    return text


def _scope(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        raise typer.BadParameter(f"scopes are {_SCOPES}, not {text!r}") from None
