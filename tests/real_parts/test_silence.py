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
        config.pluginmanager.register(EndOfSilence(8.0))
"""


@pytest.mark.parametrize(
    ("hangs", "shown"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGSTOP)", "is stopped", id="stopped"),
        pytest.param("threading.Event().wait()", "in test_that_hangs", id="waiting"),
    ],
)
def test_a_run_of_which_nothing_is_heard_ends_and_names_the_tests_that_had_begun(
    tmp_path: Path, hangs: str, shown: str
) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    (tmp_path / "test_run.py").write_text(
        "import os, signal, threading\n"
        f"def test_that_ends(): ...\ndef test_that_hangs(): {hangs}\ndef test_that_comes_later(): ...\n"
    )

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert ended.returncode == pytest.ExitCode.INTERNAL_ERROR, ended.stdout + ended.stderr
    assert ended.stderr.partition("begun and not ended:\n")[2].startswith("test_run.py::test_that_hangs\n")
    assert shown in ended.stderr
