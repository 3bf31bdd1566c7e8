"""The logs' form and level are those of the last `configure_logs`, also for what has logged before."""

import pytest
import structlog

from oms.logs import LogFormat, configure_logs

log = structlog.get_logger()


def test_a_logger_that_was_used_already_obeys_the_level_that_is_set_now(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.JSON, "INFO")
    log.info("first")
    configure_logs(LogFormat.JSON, "CRITICAL")
    log.error("second")

    printed = capsys.readouterr().err

    assert '"first"' in printed
    assert "second" not in printed
