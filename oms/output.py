"""The output of operators' commands: tables for people, and JSON for programs. Tables are slow to import, and a service
has none."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from messaging.ports.message import timestamp

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPED_WIDTH = 200
_T = TypeVar("_T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def console() -> Console:
    """Standard output. Its text is data, and no markup. Where there is no terminal, lines are long and plain."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a customer's name may not exist in the terminal's encoding
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(markup=False, emoji=False, highlight=False, width=_PIPED_WIDTH if piped else None)


def print_json(document: Any) -> None:
    """Print one document. Times are RFC 3339 in UTC."""
    typer.echo(json.dumps(document, indent=2, default=_plain))


def print_list(documents: Sequence[Any], table: Table, *, as_json: bool, otherwise: str) -> None:
    """Print JSON, or the table of the same. `otherwise` is the sentence that stands for an empty table."""
    if as_json:
        print_json(documents)
    else:
        console().print(table if documents else otherwise)


def print_json_line(document: Any) -> None:
    """Print one document on one line, for a stream of them."""
    typer.echo(json.dumps(document, default=_plain))


def progress(these: Sequence[_T], doing: str) -> Iterable[_T]:
    """A progress bar on a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    error = Console(stderr=True)
    return track(these, doing, console=error, transient=True, disable=not error.is_terminal)


def _plain(value: Any) -> str:
    return timestamp(value) if isinstance(value, datetime) else str(value)


def printable(text: str) -> str:
    """The text with its unprintable characters escaped, because a terminal could obey them."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def cells(*values: object) -> Sequence[str]:
    """The cells of a row."""
    return [printable(str(value)) for value in values]
