"""README's "For real", run as it stands there: only addresses, ports and the place of files are this test's."""

import asyncio
import json
import os
import re
import shutil
import sys
import uuid
from pathlib import Path

import pytest

from tests.real_parts.kafka import Broker
from tests.real_parts.kafka_node import free_port
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import service_databases

README = Path(__file__).parents[2] / "README.md"
WITHIN = 180.0


def _lines_of_readme(**ours: str) -> str:
    """The shell's lines of the section. Each text on the left has to be there."""
    section = README.read_text(encoding="utf-8").partition("## For real")[2].partition("\n## ")[0]
    script = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    for port in sorted(set(re.findall(r"\b80\d\d\b", script))):
        script = script.replace(port, str(free_port()))
    for theirs, mine in ours.items():
        assert theirs in script, f"README does not say {theirs}"
        script = script.replace(theirs, mine)
    return script


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is needed")
async def test_the_lines_of_readme_are_an_installation_that_takes_an_order(
    broker: Broker, postgres: PostgresServer, tmp_path: Path
) -> None:
    async with service_databases(postgres, migrated=False) as databases:
        ours = {
            "$PWD/.venv/bin": str(Path(sys.executable).parent),
            "postgresql://oms:secret@localhost/orders": f"'{databases['order']}'",
            "postgresql://oms:secret@localhost/inventory": f"'{databases['inventory']}'",
            "postgresql://oms:secret@localhost/payments": f"'{databases['payment']}'",
            "localhost:9092": broker.bootstrap_servers,
            "/tmp/order.json": str(tmp_path / "order.json"),  # noqa: S108 README says it
        }
        printed = await _run(_lines_of_readme(**ours), tmp_path)
    order = json.loads(printed[printed.rindex('{"orderId"') :].splitlines()[0])
    assert order["status"] == "CONFIRMED", printed
    assert order["total"] == {"amount": "25.00", "currency": "EUR"}


async def _run(script: str, folder: Path) -> str:
    """Run the lines in a shell of their own; answers what they printed, without what the processes logged."""
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script,
        cwd=folder,
        env=os.environ | {"KAFKA_PREFIX": f"{uuid.uuid4().hex[:8]}."},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN):
            printed, errors = await shell.communicate()
    except TimeoutError:
        os.killpg(shell.pid, 9)
        raise AssertionError(f"the lines did not end within {WITHIN:.0f} s") from None
    assert shell.returncode == 0, f"{printed.decode()}\n{errors.decode()[-3000:]}"
    return printed.decode()
