"""The logs' form and level are those of the last `configure_logs`, also for what has logged before."""

import logging

import pytest
import structlog
from aiokafka.errors import KafkaError

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


def test_what_aiokafka_says_again_and_again_is_said_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.JSON, "INFO")

    for node in range(100):
        logging.getLogger("aiokafka").error("Unable connect to node with id %s", node)
        logging.getLogger("other").error("Unable to say it once")
        logging.getLogger("asyncio").error("never retrieved", exc_info=KafkaError(f"batch {node}"))
        logging.getLogger("asyncio").error("never retrieved", exc_info=ValueError(f"ours {node}"))
    logging.getLogger("aiokafka.consumer").error("something else")

    printed = capsys.readouterr().err
    assert printed.count("Unable connect to node") == 1
    assert printed.count("Unable to say it once") == 100
    assert printed.count("something else") == 1
    assert printed.count('"exc_type": "KafkaError"') == 1
    assert printed.count('"exc_type": "ValueError"') == 100
