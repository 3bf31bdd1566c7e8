"""The metrics that the services export, and those that an expression of Prometheus asks for."""

import re
from collections.abc import Iterator, Mapping

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from http_api import request_context
from messaging.kafka import lag, unstable
from oms.services import SERVICES

IMPORTED = (request_context, lag, unstable, SERVICES)
"""Whatever has a metric is imported with them."""

OF_PROMETHEUS = frozenset({"job", "instance", "le"})
_SUFFIX = re.compile(r"_(bucket|sum|count|total)$")
_ASKED = re.compile(r"\b((?:oms|process)_\w+)(?:\{([^}]*)\})?")
_MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


def exported() -> Mapping[str, frozenset[str]]:
    """The labels of each exported metric, by its name without a suffix."""
    metrics = {metric for metric in REGISTRY._collector_to_names if isinstance(metric, MetricWrapperBase)}
    ours = {metric._name: frozenset(metric._labelnames) for metric in metrics}
    process = ("process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds")
    return ours | dict.fromkeys(process, frozenset[str]())


def problems_with(expression: str) -> Iterator[str]:
    """A sentence for each metric, or label of a metric, that no service exports."""
    known = exported()
    for name, matchers in _ASKED.findall(expression):
        base = name if name in known else _SUFFIX.sub("", name)
        if base not in known:
            yield f"{name} is not exported"
            continue
        for label in _MATCHED.findall(matchers):
            if label not in known[base] | OF_PROMETHEUS:
                yield f"{name} has no label {label}"
