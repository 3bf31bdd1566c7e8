"""`oms audit`: who did what, and whether the trail of it is as it was written."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from messaging.postgres.audit import PostgresAudit
from messaging.postgres.audit_chain import Entry, Tampered, Verified
from messaging.postgres.pool import Pool
from messaging.runtime.service import Service
from oms.databases import read_each, say_not_read
from oms.environment import run
from oms.exit_status import ExitStatus
from oms.order_commands import order_id_of
from oms.output import AsJson, console, print_json, printable
from oms.services import SERVICES, service_named

LISTED = 100

audit = typer.Typer(no_args_is_help=True, help="The audit trail: who did what, when, and to which order.")

AnyService = Annotated[
    Service | None,
    typer.Argument(
        help=f"One of {', '.join(SERVICES)}. All of them if it is not given.", metavar="SERVICE", parser=service_named
    ),
]


@audit.command("list")
def audit_list(
    service: AnyService = None,
    order: Annotated[str | None, typer.Option("--order", "-o", help="Only what was done to this order.")] = None,
    limit: Annotated[int, typer.Option(help="At most this number.", min=1, max=100_000)] = LISTED,
    as_json: AsJson = False,
) -> None:
    """List what was done and what was refused, newest first."""
    order_id = order_id_of(order) if order is not None else None

    async def main() -> None:
        found, not_read = await read_each(service, lambda pool: PostgresAudit(pool).newest(order_id, limit))
        entries = [(name, entry) for name, newest in found.items() for entry in newest]
        entries.sort(key=lambda each: each[1].at, reverse=True)
        documents = [_document(name, entry) for name, entry in entries[:limit]]
        if as_json:
            print_json(documents)
        else:
            _print_entries(documents)
        say_not_read(not_read)

    run(main())


@audit.command("verify")
def audit_verify(
    service: AnyService = None,
    seals: Annotated[
        list[str] | None,
        typer.Option("--seal", help="The hash of a seal that was kept elsewhere. It must be there. Can be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every entry and every seal. The exit status is 1, and the first that does not match is named, if one was
    changed."""
    kept = [_hash(text) for text in seals or []]

    async def main() -> None:
        found, not_read = await read_each(service, _verified)
        verified = {name: each for name, each in found.items() if isinstance(each, Verified)}
        flaws = {name: str(each) for name, each in found.items() if isinstance(each, Tampered)}
        missing = _missing(kept, verified) if not flaws and not not_read else []
        _print_verified(verified, flaws, missing, as_json)
        if flaws or missing:
            raise typer.Exit(ExitStatus.CANNOT)
        say_not_read(not_read)

    run(main())


async def _verified(pool: Pool) -> Verified | Tampered:
    try:
        return await PostgresAudit(pool).verify()
    except Tampered as flaw:
        return flaw


def _hash(text: str) -> bytes:
    try:
        found = bytes.fromhex(text.strip())
    except ValueError:
        found = b""
    if len(found) != 32:
        raise typer.BadParameter(f"a seal has 64 hexadecimal digits, not {text!r}", param_hint="--seal")
    return found


def _missing(kept: Sequence[bytes], verified: dict[str, Verified]) -> list[str]:
    """A sentence for each seal that is kept elsewhere and not there."""
    there = {seal.hash for each in verified.values() for seal in each.seals}
    return [
        f"no seal of {' or '.join(verified)} is {seal.hex()}: seals were removed, or all were made anew"
        for seal in kept
        if seal not in there
    ]


def _print_verified(
    verified: dict[str, Verified], flaws: dict[str, str], missing: Sequence[str], as_json: bool
) -> None:
    if as_json:
        documents = [_verified_document(name, each) for name, each in verified.items()]
        documents += [{"service": name, "matches": False, "flaw": flaw} for name, flaw in flaws.items()]
        documents += [{"service": None, "matches": False, "flaw": sentence} for sentence in missing]
        print_json(documents)
        return
    for name, each in verified.items():
        newest = f"; seal {each.seals[-1].number} is {each.seals[-1].hash.hex()}" if each.seals else ""
        typer.echo(
            f"{name}: everything matches; entries {each.entries}, seals {len(each.seals)}, "
            f"not sealed yet {each.unsealed}{newest}"
        )
    for name, flaw in flaws.items():
        typer.echo(f"{name}: {flaw}", err=True)
    for sentence in missing:
        typer.echo(sentence, err=True)


def _verified_document(name: str, verified: Verified) -> dict[str, Any]:
    newest = verified.seals[-1] if verified.seals else None
    return {
        "service": name,
        "matches": True,
        "entries": verified.entries,
        "unsealed": verified.unsealed,
        "seals": len(verified.seals),
        "newestSeal": {"number": newest.number, "at": newest.at, "hash": newest.hash.hex()} if newest else None,
    }


def _document(service: str, entry: Entry) -> dict[str, Any]:
    return {
        "service": service,
        "id": entry.id,
        "at": entry.at,
        "who": entry.who,
        "role": entry.role,
        "action": entry.action,
        "outcome": entry.outcome,
        "orderId": entry.order_id,
        "detail": json.loads(entry.detail),
    }


def _print_entries(documents: Sequence[dict[str, Any]]) -> None:
    """A line for each, like a log: a terminal that is too narrow breaks it, and leaves nothing out."""
    columns = [
        [f"{each['at']:%F %T}", *(str(each[name]) for name in ("service", "action", "outcome", "who"))]
        for each in documents
    ]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for each, values in zip(documents, columns, strict=True):
        padded = [value.ljust(width) for value, width in zip(map(printable, values), widths, strict=True)]
        rest = {"order": each["orderId"]} if each["orderId"] else {}
        details = [f"{name}={value}" for name, value in (rest | each["detail"]).items()]
        console().print("  ".join([*padded, printable(" ".join(details))]).rstrip(), soft_wrap=True)
    if not documents:
        typer.echo("audit trail: nothing")
