"""A run of tests that hangs ends by itself, and says where it hung."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_CONFTEST = """
from tests.real_parts.silence import EndOfSilence, show_stacks_when_asked

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        show_stacks_when_asked()
    else:
        config.pluginmanager.register(EndOfSilence(10.0))
"""


def test_a_run_of_which_nothing_is_heard_ends_and_names_the_tests_that_had_begun(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    for name, hangs in {"stopped": "os.kill(os.getpid(), signal.SIGSTOP)", "waits": "threading.Event().wait()"}.items():
        (tmp_path / f"test_{name}.py").write_text(
            "import os, signal, threading\n"
            f"def test_that_ends(): ...\ndef test_that_{name}(): {hangs}\ndef test_that_comes_later(): ...\n"
        )

    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"),
            *("--rootdir", tmp_path, tmp_path),
        ],
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == pytest.ExitCode.INTERNAL_ERROR, ended.stdout + ended.stderr
    begun = ended.stderr.partition("begun and not ended:\n")[2].splitlines()[:2]
    assert begun == ["test_stopped.py::test_that_stopped", "test_waits.py::test_that_waits"]
    assert "is stopped" in ended.stderr
    assert "in test_that_waits" in ended.stderr
