"""Files that change while a process runs."""

from pathlib import Path

from structlog.testing import capture_logs

from messaging.engine.renewed import Renewed
from messaging.engine.secret_files import read_secret


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    file, readings = tmp_path / "secret", list[str]()
    file.write_text("first")

    def read() -> str:
        readings.append(read_secret(file))
        return readings[-1]

    secret = Renewed(read, [file])
    assert [secret(), secret()] == ["first", "first"]
    file.write_text("second")
    assert [secret(), secret()] == ["second", "second"]
    assert readings == ["first", "second"]


def test_a_link_that_is_moved_is_a_change(tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "secret").write_text(day)
    data = tmp_path / "data"
    data.symlink_to(tmp_path / "monday")
    secret = Renewed(lambda: read_secret(data / "secret"), [data / "secret"])
    assert secret() == "monday"

    (tmp_path / "fresh").symlink_to(tmp_path / "tuesday")
    (tmp_path / "fresh").rename(data)
    assert secret() == "tuesday"


def test_while_a_file_is_missing_or_wrong_the_last_value_stays_and_is_said_once_for_each_change(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first")
    secret = Renewed(lambda: read_secret(file), [file])
    with capture_logs() as lines:
        file.unlink()
        assert [secret(), secret()] == ["first", "first"]
        file.write_text("")
        assert [secret(), secret()] == ["first", "first"]
        file.write_text("second")
        assert [secret(), secret()] == ["second", "second"]

    assert [line["event"] for line in lines] == [
        "the changed files are not used",
        "the changed files are not used",
        "the changed files are used from now on",
    ]
