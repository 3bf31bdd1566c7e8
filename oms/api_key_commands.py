"""`oms api-keys`: keys of callers that have no access tokens. Every service has every key."""

import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Annotated

import typer

from http_api.access.api_keys import digest_of, new_key
from http_api.access.key_store import add_key, list_keys, revoke_key
from messaging.postgres.pool import Pool
from oms.databases import change_each, read_each, say_not_read
from oms.environment import CannotDo, run
from oms.output import AsJson, cells, print_json, print_list
from shared_kernel.caller import ANONYMOUS_NAME, MAX_CALLER, Caller, Scope, is_caller_name

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
        await _make(key_id.hex(), lambda pool: add_key(pool, key_id.hex(), digest_of(key), owner, good_for))
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
    """Revoke a key. Running processes refuse it within ten seconds. The exit status is 3 if a database does not answer:
    the key may still be good in its service, so revoke it again later."""

    async def main() -> None:
        names, not_reached = await change_each(lambda pool: revoke_key(pool, key_id))
        name = next((name for name in names.values() if name is not None), None)
        if not names:
            raise CannotDo(_sentences(not_reached.values()))
        if name is None and not_reached:
            typer.echo(f"{_and(names)} have no API key {key_id!r}", err=True)
        elif name is None:
            raise CannotDo(f"there is no API key {key_id!r}: `oms api-keys list` shows their ids")
        elif as_json:
            others = {"notReached": [*not_reached]} if not_reached else {}
            print_json({"id": key_id, "caller": name, "revoked": not not_reached} | others)
        else:
            where = f" in {_and(names)}" if not_reached else ""
            typer.echo(f"the key {key_id} of {name} is revoked{where}")
        if not_reached:
            typer.echo(f"the key {key_id} may still be good in {_and(not_reached)}: revoke it again", err=True)
        say_not_read([*not_reached.values()])

    run(main())


@api_keys.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the keys, oldest first. Their secrets are nowhere."""

    from rich.table import Table

    async def main() -> None:
        by_service, not_read = await read_each(None, list_keys)
        all_keys = sorted(chain(*by_service.values()), key=lambda key: key.revoked_at is None)
        found = {key.id: key for key in all_keys}  # a key is revoked when no service takes it
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
        say_not_read(not_read)

    run(main())


async def _make(key_id: str, add: Callable[[Pool], Awaitable[None]]) -> None:
    """Add a key to every database or to none: a key whose secret nobody has seen must not be good anywhere. Raises
    CannotDo."""
    _, away = await read_each(None, partial(list_keys, limit=1))
    if away:
        raise CannotDo(f"no API key was made: {_sentences(away)}")
    _, failed = await change_each(add)
    if not failed:
        return
    sentence = f"no API key was made: {_sentences(failed.values())}"
    _, left = await change_each(lambda pool: revoke_key(pool, key_id))
    if left:
        sentence += (
            f"; the key {key_id}, which nobody has seen, may be left in {_and(left)}: `oms api-keys revoke {key_id}`"
        )
    raise CannotDo(sentence)


def _sentences(errors: Iterable[Exception]) -> str:
    return "; ".join(dict.fromkeys(map(str, errors)))


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)


def _name(text: str) -> str:
    if text == ANONYMOUS_NAME:
        raise typer.BadParameter(f"orders without a caller belong to {text!r}, so it is no caller's name")
    if not is_caller_name(text):
        raise typer.BadParameter(f"a caller has a name of 1 to {MAX_CALLER} printable characters, not {text!r}")
    return text


def _scope(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        raise typer.BadParameter(f"scopes are {_SCOPES}, not {text!r}") from None
