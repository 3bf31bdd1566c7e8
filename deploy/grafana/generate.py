"""The dashboards of Grafana, from the metrics of docs/operations.md: `python deploy/grafana/generate.py` writes them.

A number that every process of a service reports is taken as a maximum, and what each process has of its own as a sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).parent / "dashboards"
_SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
_RANGE = "$__rate_interval"
_WIDTH, _HEIGHT = 8, 8
_TOOLTIP = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
_LEGEND = (
    common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: its queries by the legend of each, its unit, and a sentence for the person who looks at it."""

    title: str
    says: str
    queries: Mapping[str, str]
    unit: str = "short"


def _rate(metric: str, *by: str, of: str = "") -> str:
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouping} (rate({metric}{of}[{_RANGE}]))"


def _quantile(q: float, histogram: str, *by: str, of: str = "") -> str:
    return f"histogram_quantile({q}, {_rate(f'{histogram}_bucket', 'le', *by, of=of)})"


def _percentiles(histogram: str, *by: str, of: str = "") -> dict[str, str]:
    name = " ".join(f"{{{{{label}}}}}" for label in by)
    return {f"{name} p{int(q * 100)}".strip(): _quantile(q, histogram, *by, of=of) for q in (0.5, 0.99)}


def _most(metric: str, *by: str) -> str:
    return f"max by ({', '.join(by)}) ({metric})" if by else f"max({metric})"


_LAG = _most("oms_consumer_lag_records", "service", "topic", "partition")
_STEP = "oms_order_step_seconds"
_UNKNOWN = '{outcome="unknown"}'
_POSTS = '{method="POST",route="/orders"}'

ORDERS = (
    Panel(
        "Orders a second",
        "Accepted, and settled by outcome.",
        {
            "accepted": _rate("oms_orders_accepted_total"),
            "{{outcome}}": _rate("oms_order_settled_seconds_count", "outcome"),
        },
        "ops",
    ),
    Panel("Time to settle", "From creation to the outcome.", _percentiles("oms_order_settled_seconds", "outcome"), "s"),
    Panel(
        "Late orders",
        "Accepted and not settled within 60 seconds. The objective is 1 %.",
        {"5 minutes": "oms:orders:late_ratio_rate5m", "1 hour": "oms:orders:late_ratio_rate1h"},
        "percentunit",
    ),
    Panel(
        "Funnel",
        "How many orders a second get as far as each state.",
        {
            "1 accepted": _rate("oms_orders_accepted_total"),
            "2 stock reserved": _rate(f"{_STEP}_count", of='{step="stock_reserved"}'),
            "3 payment captured": _rate(f"{_STEP}_count", of='{step="payment_captured"}'),
            "4 CONFIRMED": _rate("oms_order_settled_seconds_count", of='{outcome="CONFIRMED"}'),
            "lost: REJECTED": _rate("oms_order_settled_seconds_count", of='{outcome="REJECTED"}'),
            "lost: CANCELLED": _rate("oms_order_settled_seconds_count", of='{outcome="CANCELLED"}'),
        },
        "ops",
    ),
    Panel(
        "Orders by state",
        "Orders that wait for an answer, counted up to 10,000.",
        {
            "{{status}}": _most("oms_orders_open", "status"),
            "STUCK": _most("oms_orders_stuck"),
            "unknown": _most("oms_orders_unknown"),
        },
    ),
    Panel("Time of each step", "Which partner is slow.", _percentiles(_STEP, "step"), "s"),
    Panel(
        "Access refused",
        "Unknown callers, missing scopes and orders of others. What was not recorded one by one is the second line.",
        {
            "refused by {{service}}": _rate("oms_access_refused_total", "service"),
            "not recorded by {{service}}": _rate("oms_audit_dropped_total", "service"),
        },
        "ops",
    ),
    Panel("Taken back", "Compensations by reason.", {"{{reason}}": _rate("oms_compensations_total", "reason")}, "ops"),
    Panel(
        "Answers to POST /orders",
        "By status.",
        {"{{status}}": _rate("oms_http_requests_total", "status", of=_POSTS)},
        "reqps",
    ),
    Panel(
        "Time of POST /orders", "Until the order is durable.", _percentiles("oms_http_request_seconds", of=_POSTS), "s"
    ),
)
PIPELINE = (
    Panel(
        "Age of the outbox",
        "The oldest message that has not left.",
        {"{{service}}": _most("oms_outbox_oldest_age_seconds", "service")},
        "s",
    ),
    Panel("Length of the outbox", "An estimate above 10,000.", {"{{service}}": _most("oms_outbox_depth", "service")}),
    Panel(
        "Messages a second",
        "Published by the relays, and handled by the consumers.",
        {
            "{{service}} published": _rate("oms_events_published_total", "service"),
            "{{service}} {{outcome}}": _rate("oms_records_consumed_total", "service", "outcome"),
        },
        "ops",
    ),
    Panel(
        "Lag",
        "Records that a service has not handled yet.",
        {"{{service}} {{topic}}": f"sum by (service, topic) ({_LAG})"},
    ),
    Panel(
        "Critical time",
        "From a message's decision until it is handled.",
        _percentiles("oms_message_critical_seconds", "type"),
        "s",
    ),
    Panel(
        "Hidden by open transactions",
        "Records above the last stable offset. Above 0 a transaction hangs.",
        {"{{topic}}/{{partition}}": _most("oms_kafka_unstable_records", "topic", "partition")},
    ),
    Panel(
        "Parked and dead",
        "Records that wait behind a failing key, and those that will never be handled as they are.",
        {
            "{{service}} parked": _most("oms_parked_records", "service"),
            "{{service}} dead": _most("oms_dead_letters", "service"),
        },
    ),
    Panel(
        "Age of parked records",
        "The oldest one.",
        {"{{service}}": _most("oms_parked_oldest_age_seconds", "service")},
        "s",
    ),
    Panel(
        "Consumers that wait",
        "1 while a whole service fails.",
        {"{{service}}": _most("oms_consumer_waiting", "service")},
    ),
    Panel("Shards owned", "4 for each service.", {"{{service}}": "sum by (service) (oms_relay_shards_owned)"}),
    Panel(
        "Relays that begin again",
        "Failures, takeovers, and producers that were fenced.",
        {
            "{{service}} failures": _rate("oms_publish_failures_total", "service"),
            "{{service}} takeovers": _rate("oms_relay_takeovers_total", "service"),
            "{{service}} fenced": _rate("oms_relay_fenced_total", "service"),
            "{{service}} unanswered": _rate("oms_publisher_unanswered_total", "service"),
        },
        "ops",
    ),
)
PLATFORM = (
    Panel(
        "Writes in a commit",
        "Writes that were stored by one transaction.",
        _percentiles("oms_commit_batch_size", "writes"),
    ),
    Panel("Time of a commit", "A round trip and an fsync.", _percentiles("oms_commit_seconds", "writes"), "s"),
    Panel("Commits a second", "Each is an fsync.", {"{{writes}}": _rate("oms_commit_seconds_count", "writes")}, "ops"),
    Panel(
        "Writes that wait", "For a connection to the database.", {"{{writes}}": "sum by (writes) (oms_commit_waiting)"}
    ),
    Panel(
        "Busy sessions",
        "Of 4 in each pool.",
        {"{{instance}} {{service}} {{pool}}": _most("oms_pool_busy", "instance", "service", "pool")},
    ),
    Panel(
        "Lag of the event loop",
        "How late a process does its work.",
        _percentiles("oms_event_loop_lag_seconds", "instance"),
        "s",
    ),
    Panel(
        "Spans that nobody will see",
        "0. Above it, traces have holes.",
        {"{{instance}} {{reason}}": _rate("oms_spans_dropped_total", "instance", "reason")},
    ),
    Panel(
        "CPU",
        "Cores in use. A process uses one at most.",
        {"{{instance}}": _rate("process_cpu_seconds_total", "instance")},
    ),
    Panel(
        "Memory",
        "Constant under constant load.",
        {"{{instance}}": _most("process_resident_memory_bytes", "instance")},
        "bytes",
    ),
    Panel(
        "Replication",
        "Standbys that stream, and commits that wait for one.",
        {
            "{{service}} standbys": _most("oms_replication_standbys", "service"),
            "{{service}} waiting commits": _most("oms_replication_waiting_commits", "service"),
        },
    ),
    Panel(
        "Standbys behind",
        "How much of the log the last one has to apply.",
        {"{{service}}": _most("oms_replication_lag_bytes", "service")},
        "bytes",
    ),
)
PAYMENTS = (
    Panel(
        "Calls to the gateway",
        "By what became of them.",
        {"{{kind}} {{outcome}}": _rate("oms_payment_calls_total", "kind", "outcome")},
        "ops",
    ),
    Panel(
        "Unknown outcomes",
        "The share of calls after which nobody knows whether money has moved. They are repeated.",
        {"unknown": f"{_rate('oms_payment_calls_total', of=_UNKNOWN)} / {_rate('oms_payment_calls_total')}"},
        "percentunit",
    ),
    Panel("In doubt", "Payments that wait for the gateway's answer.", {"in doubt": _most("oms_payments_in_doubt")}),
    Panel(
        "Most overdue call", "How long it has been due.", {"overdue": _most("oms_payments_most_overdue_seconds")}, "s"
    ),
    Panel(
        "Time of a payment",
        "From the reserved stock to the answer.",
        _percentiles(_STEP, "step", of='{step=~"payment_.*"}'),
        "s",
    ),
    Panel(
        "Commands' critical time",
        "Until the payment service has begun the call.",
        _percentiles("oms_message_critical_seconds", "type", of='{service="payment"}'),
        "s",
    ),
)
DASHBOARDS: Mapping[str, Sequence[Panel]] = {
    "orders": ORDERS,
    "pipeline": PIPELINE,
    "platform": PLATFORM,
    "payments": PAYMENTS,
}


def _built(panel: Panel, place: int) -> Any:
    built = timeseries.Panel().title(panel.title).description(panel.says).datasource(_SOURCE).unit(panel.unit).min(0)
    built = built.span(_WIDTH).height(_HEIGHT).id(place + 1).tooltip(_TOOLTIP).legend(_LEGEND)
    for number, (legend, query) in enumerate(panel.queries.items()):
        built = built.with_target(
            prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number))
        )
    return built


def generated(name: str) -> str:
    """The JSON of a dashboard."""
    built = dashboard.Dashboard(f"OMS {name}").uid(f"oms-{name}").tags(["oms"]).refresh("10s").time("now-1h", "now")
    built = built.link(dashboard.DashboardLink("OMS").type("dashboards").tags(["oms"]).as_dropdown(as_dropdown=True))
    for place, panel in enumerate(DASHBOARDS[name]):
        built = built.with_panel(_built(panel, place))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(generated(each))
