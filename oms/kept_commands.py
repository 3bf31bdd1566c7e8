"""`oms dead-letters`, `oms parked`: messages that could not be handled.

The commands only change the services' databases. The sweeps of the running services handle replayed messages.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer

from messaging.postgres.failures import Kept, PostgresFailures
from messaging.runtime.service import Service
from oms.databases import failures_of, looking_at_failures, read_each, say_not_read
from oms.environment import CannotDo, run
from oms.kept_table import kept_document, kept_table, place_of
from oms.output import AsJson, print_json, print_list, printable, progress
from oms.services import SERVICES, service_named

AT_ONCE = 100
LISTED = 100
_MOST_AT_ONCE = 1_000_000
_LAST_NUMBER = 2**63 - 1  # the database numbers them with a bigint

dead_letters = typer.Typer(no_args_is_help=True, help="Messages that a service will never handle as they are.")
parked = typer.Typer(no_args_is_help=True, help="Messages that wait behind one that could not be handled.")


def _key_of(text: str) -> str:
    """The key that an argument names. Raises BadParameter."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("a key is text in UTF-8") from None
    return text


_ONE_OF = f"The service: {', '.join(SERVICES)}"
OneService = Annotated[
    Service, typer.Option("--service", "-s", help=f"{_ONE_OF}.", metavar="SERVICE", parser=service_named)
]
AnyService = Annotated[
    Service | None,
    typer.Option(
        "--service", "-s", help=f"{_ONE_OF}; all of them if it is not given.", metavar="SERVICE", parser=service_named
    ),
]
Key = Annotated[
    str | None, typer.Option("--key", "-k", help="Only those of this order.", metavar="TEXT", parser=_key_of)
]


@dead_letters.command("list")
def dead_letters_list(service: AnyService = None, key: Key = None, as_json: AsJson = False) -> None:
    """List dead letters, oldest first."""
    run(_list(service, "dead letters", as_json, lambda failures: failures.dead_letters(key, LISTED)))


@dead_letters.command("show")
def dead_letters_show(
    letter_id: Annotated[int, typer.Argument(help="The number of the dead letter.", min=1, max=_LAST_NUMBER)],
    service: OneService,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter completely."""

    async def main() -> None:
        async with looking_at_failures(service) as failures:
            letter = await failures.dead_letter(letter_id)
        if letter is None:
            raise CannotDo(f"{service.name} has no dead letter {letter_id}")
        if as_json:
            print_json(_complete(service, letter))
            return
        record = letter.record
        typer.echo(f"at:       {place_of(letter)}, {letter.since:%F %T}")
        typer.echo(f"error:    {printable(letter.error)} (after {letter.attempts} attempts)")
        typer.echo(f"key:      {printable(record.key)}")
        for header, value in record.headers.items():
            typer.echo(f"header:   {printable(header)}: {printable(value)}")
        typer.echo(f"value:    {printable(record.value.decode(errors='backslashreplace'))}")

    run(main())


def _complete(service: Service, letter: Kept) -> dict[str, Any]:
    value = letter.record.value.decode(errors="backslashreplace")
    return kept_document(service.name, letter) | {"headers": letter.record.headers, "value": value}


@dead_letters.command("replay")
def dead_letters_replay(
    service: OneService,
    letter_id: Annotated[
        int | None, typer.Argument(help="The number of one dead letter.", min=1, max=_LAST_NUMBER)
    ] = None,
    key: Key = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    as_json: AsJson = False,
) -> None:
    """Handle dead letters again. They keep their event ids."""
    if [letter_id is not None, key is not None, every].count(True) != 1:
        raise typer.BadParameter("give the number of one dead letter, or --key, or --all")

    async def main() -> None:
        async with failures_of(service) as failures:
            if letter_id is not None:
                found = await failures.dead_letter(letter_id)
                ids = [found.id] if found else []
            else:
                ids = [letter.id for letter in await failures.dead_letters(key, _MOST_AT_ONCE)]
            if not ids:
                raise CannotDo(f"{service.name} has no such dead letter")
            starts = range(0, len(ids), AT_ONCE)
            for start in progress(starts, "replaying"):
                await failures.replay(ids[start : start + AT_ONCE])
        if as_json:
            print_json({"service": service.name, "replayed": len(ids)})
        else:
            typer.echo(f"{service.name}: {len(ids)} will be handled again by the next sweep of its consumer")

    run(main())


@parked.command("list")
def parked_list(service: AnyService = None, key: Key = None, as_json: AsJson = False) -> None:
    """List parked messages, oldest first. The first of each key is the one that fails."""
    run(_list(service, "parked", as_json, lambda failures: failures.parked(key, LISTED)))


@parked.command("retry")
def parked_retry(service: OneService, key: Key = None, as_json: AsJson = False) -> None:
    """Try parked messages now, and not only after their pause."""

    async def main() -> None:
        async with failures_of(service) as failures:
            keys = await failures.retry(key)
        if key is not None and not keys:
            raise CannotDo(f"nothing is parked in {service.name} with the key {key!r}")
        if as_json:
            print_json({"service": service.name, "key": key, "keys": keys})
        elif not keys:
            typer.echo(f"nothing is parked in {service.name}")
        else:
            typer.echo(f"{service.name}: parked messages will be tried by the next sweep of its consumer")

    run(main())


async def _list(
    service: Service | None,
    title: str,
    as_json: bool,
    read: Callable[[PostgresFailures], Awaitable[Sequence[Kept]]],
) -> None:
    """Print those of one service, or of all services that can be read."""
    by_service, not_read = await read_each(service, lambda pool: read(PostgresFailures(pool)))
    found = [(name, one) for name, kept in by_service.items() for one in kept]
    documents = [kept_document(name, one) for name, one in found]
    print_list(documents, kept_table(found, title), as_json=as_json, otherwise=f"{title}: none")
    say_not_read(not_read)
