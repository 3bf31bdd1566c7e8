"""`make smoke`: the start, with every Python from 3.11 on that this machine has. Each gets an environment of its own in
a folder whose name is odd, starts everything there, and takes one order to CONFIRMED.

It needs nothing but the standard library, and takes about a minute for each Python. `python -m tests.smoke 3.12` is for
one of them.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = 11, 30
STARTS_WITHIN = 120.0
ORDER = json.dumps({"items": [{"productId": "p1", "quantity": 2}]}).encode()


def pythons() -> Mapping[str, str]:
    """The path of each Python, by its version: those that a shell finds, and those of pyenv."""
    places = [*os.get_exec_path(), *(str(path) for path in Path.home().glob(".pyenv/versions/*/bin"))]
    found: dict[str, str] = {}
    for minor in range(OLDEST, NEWEST):
        for place in places:
            program = Path(place) / f"python3.{minor}"
            works = program.exists() and subprocess.run(
                [program, "-c", "import ensurepip, venv"], capture_output=True, check=False
            )
            if works and works.returncode == 0:
                found.setdefault(f"3.{minor}", str(program))
    return found


def smoke(python: str, folder: Path) -> str:
    """The status of the first order. Raises CalledProcessError, OSError."""
    checkout = folder / "a folder's näme"
    shutil.copytree(HERE, checkout, ignore=shutil.ignore_patterns(".*", "data", "__pycache__", "*.egg-info"))
    subprocess.run(["make", ".venv/run", f"PYTHON={python}"], cwd=checkout, check=True)
    port = _free_port()
    command = [str(checkout / ".venv/bin/python"), "-m", "oms", "up", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, stdout=log, stderr=log)
    try:
        return _first_order(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait()
        print((folder / "log").read_text(errors="replace"))


def _first_order(url: str, process: "subprocess.Popen[bytes]") -> str:
    give_up = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < give_up and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health/live", timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    request = urllib.request.Request(f"{url}/orders", data=ORDER, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        order_id = json.load(response)["orderId"]
    request = urllib.request.Request(f"{url}/orders/{order_id}", headers={"Prefer": "wait=30"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(json.load(response)["status"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def main() -> None:
    """Say of each Python what became of its first order; status 1 if one of them was not CONFIRMED."""
    results = {}
    for version, python in pythons().items():
        if sys.argv[1:] and version not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory(prefix="oms-smoke-", ignore_cleanup_errors=True) as folder:
            try:
                results[version] = smoke(python, Path(folder))
            except (subprocess.CalledProcessError, OSError) as error:
                results[version] = f"{type(error).__name__}: {error}"
    for version, result in results.items():
        print(f"Python {version}: {result}")
    if not results or set(results.values()) != {"CONFIRMED"}:
        sys.exit(1)


if __name__ == "__main__":
    main()
