"""The values of the chart: what is refused before it reaches a cluster, and what the values do."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.release.helm import EXAMPLES, NoHelm, Refused, helm, run, template
from deploy.release.version import CHART
from oms.services import SERVICES
from tests.deploy.policies import problems_with
from tests.deploy.settings import settings_of_processes

Object = Mapping[str, Any]


@pytest.fixture(autouse=True, scope="module")
def _helm_is_there() -> None:
    try:
        helm()
    except NoHelm as missing:
        pytest.skip(str(missing))


def _rendered(values: Object, folder: Path) -> list[Object]:
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(dict(values)))
    return [found for found in yaml.safe_load_all(template(values=[path])) if found]


def _named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def _variables(objects: list[Object], deployment: str) -> Mapping[str, Any]:
    kind = "Job" if deployment in ("oms-migrate", "oms-topics") else "Deployment"
    (container,) = _named(objects, kind, deployment)["spec"]["template"]["spec"]["containers"]
    return dict(_variable(one) for one in container["env"])


def _variable(one: Object) -> tuple[str, Any]:
    """Its name, and its value, or the secret and the key that it comes from."""
    if "valueFrom" in one:
        return one["name"], tuple(one["valueFrom"]["secretKeyRef"].values())
    if one["name"].endswith("_FILE"):
        return one["name"].removesuffix("_FILE"), Path(one["value"]).parts[-2:]
    return one["name"], one["value"]


@pytest.mark.parametrize("values", [[], *([path] for path in EXAMPLES.values())], ids=["defaults", *EXAMPLES])
def test_helm_has_nothing_against_the_chart(values: list[Path]) -> None:
    files = [part for path in values for part in ("--values", str(path))]
    assert "0 chart(s) failed" in run("lint", "--strict", str(CHART), *files)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("replicas=2", "replicas"),
        ("services.order.relay.replicas=5", "/services/order/relay/replicas"),
        ("services.inventory.consumer.replicas=5", "/services/inventory/consumer/replicas"),
        ("services.payment.consumer.autoscaling.maxReplicas=5", "/services/payment/consumer/autoscaling/maxReplicas"),
        ("services.order.consumer.autoscaling.maxReplicas=9", "/services/order/consumer/autoscaling/maxReplicas"),
        ("env.STEP_TIMEOUT_SECONDS=60", "/env/STEP_TIMEOUT_SECONDS"),
        ("drainSeconds=15", "/drainSeconds"),
        ("auth.mode=perhaps", "/auth/mode"),
        ("auth.issuer=https://login.example.com/", "/auth/audience"),
        ("auth.issuer=https://login.example.com/,auth.audience=oms", "/auth/jwksUrl"),
        ("auth.audience=oms,auth.jwksUrl=https://login.example.com/keys", "/auth/issuer"),
        ("auth.jwksUrl=https://login.example.com/keys,auth.issuer=null", "/auth/audience"),
        ("kafka.securityProtocol=TLS", "/kafka/securityProtocol"),
        ("services.order.databaseUrl.secret=", "/services/order/databaseUrl/secret"),
        ("services.order.api.resources.limits=null", "/services/order/api/resources"),
        ("image.digest=1234", "/image/digest"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(option: str, named: str) -> None:
    with pytest.raises(Refused) as refused:
        template("--set", option)
    assert named in str(refused.value)


def test_off_is_off_although_yaml_reads_it_as_false(tmp_path: Path) -> None:
    for written in ("off", '"off"'):
        path = tmp_path / "values.yaml"
        path.write_text(f"auth: {{mode: {written}}}")
        objects = [found for found in yaml.safe_load_all(template(values=[path])) if found]
        assert _variables(objects, "oms-order-api")["AUTH"] == "off"


def test_a_variable_of_a_role_wins_over_that_of_its_service_and_that_over_the_one_of_all(tmp_path: Path) -> None:
    objects = _rendered(
        {
            "env": {
                "LOG_LEVEL": "WARNING",
                "COMMIT_CONNECTIONS": "3",
                "KAFKA_SASL_PASSWORD": {"secret": "s", "key": "k"},
            },
            "services": {"order": {"env": {"COMMIT_CONNECTIONS": "4"}, "api": {"env": {"LOG_LEVEL": "DEBUG"}}}},
        },
        tmp_path,
    )
    found = {
        name: _variables(objects, f"oms-{name}") for name in ("order-api", "order-relay", "payment-api", "migrate")
    }

    assert [found["order-api"][name] for name in ("LOG_LEVEL", "COMMIT_CONNECTIONS")] == ["DEBUG", "4"]
    assert [found["order-relay"][name] for name in ("LOG_LEVEL", "COMMIT_CONNECTIONS")] == ["WARNING", "4"]
    assert [found["payment-api"][name] for name in ("LOG_LEVEL", "COMMIT_CONNECTIONS")] == ["WARNING", "3"]
    passwords = {name: one.get("KAFKA_SASL_PASSWORD") for name, one in found.items()}
    assert passwords == {"order-api": None, "order-relay": ("s", "k"), "payment-api": None, "migrate": None}


def test_the_rate_is_shared_by_as_many_processes_as_one_says(tmp_path: Path) -> None:
    own = {"env": {"RATE_LIMIT_PROCESSES": "7"}, "services": {"order": {"api": {"env": {"RATE_LIMIT_PROCESSES": "1"}}}}}
    objects = _rendered(own, tmp_path)
    told = [_variables(objects, f"oms-{service}-api")["RATE_LIMIT_PROCESSES"] for service in ("order", "inventory")]
    assert told == ["1", "7"]


def test_migrations_are_made_as_the_user_who_owns_the_tables_and_a_relay_has_its_own(tmp_path: Path) -> None:
    owner, relay = {"secret": "owner", "key": "url"}, {"secret": "relay", "key": "url"}
    order = {"migrations": {"databaseUrl": owner}, "relay": {"databaseUrl": relay}}
    objects = _rendered({"services": {"order": order}}, tmp_path)

    urls = {
        name: _variables(objects, f"oms-{name}")["ORDER_DATABASE_URL"][0]
        for name in ("migrate", "order-relay", "order-api", "order-consumer")
    }
    assert urls == {
        "migrate": "owner",
        "order-relay": "relay",
        "order-api": "oms-databases",
        "order-consumer": "oms-databases",
    }
    assert "ORDER_DATABASE_URL" not in _variables(objects, "oms-topics")


def test_the_jobs_may_have_another_user_or_be_left_to_an_operator(tmp_path: Path) -> None:
    admin = {"KAFKA_SASL_USERNAME": "admin", "KAFKA_SASL_PASSWORD": {"secret": "kafka-admin", "key": "password"}}
    own = {"KAFKA_SASL_USERNAME": "oms", "KAFKA_SASL_PASSWORD": {"secret": "kafka", "key": "password"}}
    objects = _rendered({"env": own, "topics": {"env": admin}, "migrations": {"enabled": False}}, tmp_path)

    assert _variables(objects, "oms-topics")["KAFKA_SASL_PASSWORD"] == ("kafka-admin", "password")
    assert _variables(objects, "oms-order-relay")["KAFKA_SASL_PASSWORD"] == ("kafka", "password")
    assert [one["metadata"]["name"] for one in objects if one["kind"] == "Job"] == ["oms-topics"]


def test_the_cell_is_told_by_the_ids_that_its_api_makes(tmp_path: Path) -> None:
    objects = _rendered({"cell": 0}, tmp_path)
    assert _variables(objects, "oms-order-api")["CELL"] == "0"
    assert "CELL" not in _variables(objects, "oms-inventory-api")
    assert "CELL" not in _variables(_rendered({}, tmp_path), "oms-order-api")


def test_people_get_a_pod_with_every_database_if_they_want_one(tmp_path: Path) -> None:
    own = {"ORDER_DATABASE_URL": {"secret": "oms-operators", "key": "order"}}
    objects = _rendered({"operator": {"enabled": True, "env": own}}, tmp_path)

    variables = _variables(objects, "oms-operator")
    assert variables["ORDER_DATABASE_URL"] == ("oms-operators", "order")
    assert variables["PAYMENT_DATABASE_URL"] == ("oms-databases", "payment")
    pod = _named(objects, "Deployment", "oms-operator")["spec"]["template"]["spec"]
    assert [*problems_with(pod)] == []


def test_a_secret_is_a_file_where_the_process_reads_one_and_else_a_variable(tmp_path: Path) -> None:
    names = settings_of_processes(secret=True)
    assert names >= {"KAFKA_SASL_PASSWORD", "PAYMENT_DATABASE_URL", "PAYMENT_GATEWAY_KEY"}
    given = {name: {"secret": "some", "key": name.lower()} for name in (*names, "KAFKA_SASL_USERNAME")}
    objects = _rendered({"env": given}, tmp_path)

    pod = _named(objects, "Job", "oms-topics")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {one["name"] for one in container["env"]} >= {f"{name}_FILE" for name in names}
    assert [one["name"] for one in container["env"] if "valueFrom" in one] == ["KAFKA_SASL_USERNAME"]
    (volume,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert {item["key"] for item in volume["items"]} == {name.lower() for name in names}


def test_a_pod_gets_no_key_of_a_secret_that_it_does_not_use() -> None:
    objects = [found for found in yaml.safe_load_all(template()) if found]
    for service in SERVICES:
        pod = _named(objects, "Deployment", f"oms-{service}-api")["spec"]["template"]["spec"]
        keys = [item["key"] for volume in pod["volumes"] for item in volume.get("secret", {}).get("items", ())]
        assert keys == [service]


def test_processes_with_a_certificate_are_probed_and_scraped_over_https(tmp_path: Path) -> None:
    monitored = {"monitoring": {"serviceMonitor": {"enabled": True}}, "networkPolicy": {"enabled": False}}
    objects = _rendered(monitored | {"env": {"HTTP_TLS_CERTFILE": "/etc/oms/http/tls.crt"}}, tmp_path)

    (container,) = _named(objects, "Deployment", "oms-payment-relay")["spec"]["template"]["spec"]["containers"]
    probes = [container[name]["httpGet"]["scheme"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert probes == ["HTTPS"] * 3
    assert _named(objects, "ServiceMonitor", "oms")["spec"]["endpoints"][0]["scheme"] == "https"
    assert _named(objects, "Service", "oms-order")["spec"]["ports"][0]["appProtocol"] == "https"


def test_secrets_are_folders_in_every_container(tmp_path: Path) -> None:
    objects = _rendered({"secretMounts": [{"secret": "kafka-tls", "path": "/etc/oms/kafka"}]}, tmp_path)

    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            pod = one["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/etc/oms/kafka"]
            (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
            assert (mount["readOnly"], volume["secret"]["secretName"]) == (True, "kafka-tls")


def test_whoever_fetches_tokens_for_kafka_reaches_the_one_who_gives_them(tmp_path: Path) -> None:
    tokens = {"KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://login.example.com/token"}
    https = {"networkPolicy": {"https": {"ports": [8443]}}}
    everybody = _rendered(https | {"env": tokens, "operator": {"enabled": True}}, tmp_path)
    speak_to_kafka = {f"{service}-{role}" for service in SERVICES for role in ("relay", "consumer")}
    payment_gateway, with_tokens = {"payment-consumer"}, speak_to_kafka | {"topics", "operator"}
    apis = {f"{service}-api" for service in SERVICES}

    assert _reach(everybody, 8443) == apis | payment_gateway | with_tokens
    assert _reach(_rendered(https, tmp_path), 8443) == apis | payment_gateway
    of_one = _rendered(https | {"services": {"order": {"relay": {"env": tokens}}}, "topics": {"env": tokens}}, tmp_path)
    assert _reach(of_one, 8443) == apis | payment_gateway | {"order-relay", "topics"}


def _reach(objects: list[Object], port: int) -> set[str]:
    """The components that a policy lets out to this port."""
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    return {
        component
        for policy in policies
        if any(opened["port"] == port for rule in policy["egress"] for opened in rule["ports"])
        for expression in policy["podSelector"]["matchExpressions"]
        for component in expression["values"]
    }


def test_metrics_are_reached_by_whom_the_values_name_and_by_nobody_else(tmp_path: Path) -> None:
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}

    assert _may_reach(_rendered({}, tmp_path), "metrics") == []
    assert _may_reach(_rendered({"networkPolicy": {"monitoring": [prometheus]}}, tmp_path), "metrics") == [[prometheus]]


def _may_reach(objects: list[Object], port: str) -> list[Any]:
    """The peers of each rule that opens this port. A rule without peers is for everybody."""
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    rules = [rule for policy in policies for rule in policy.get("ingress") or ()]
    return [rule.get("from") for rule in rules if any(opened["port"] == port for opened in rule["ports"])]


def test_a_service_monitor_whose_prometheus_would_be_kept_out_is_refused(tmp_path: Path) -> None:
    monitored = {"monitoring": {"serviceMonitor": {"enabled": True}}}
    with pytest.raises(Refused, match=r"networkPolicy\.monitoring is needed"):
        _rendered(monitored, tmp_path)
    assert _rendered(monitored | {"networkPolicy": {"enabled": False}}, tmp_path)


def test_relays_follow_the_age_of_the_outbox_if_they_are_told_to(tmp_path: Path) -> None:
    scaled = {"services": {"order": {"relay": {"autoscaling": {"enabled": True}}}}}
    with pytest.raises(Refused, match=r"monitoring\.prometheusUrl is needed"):
        _rendered(scaled, tmp_path)
    objects = _rendered(scaled | {"monitoring": {"prometheusUrl": "http://prometheus:9090"}}, tmp_path)

    spec = _named(objects, "ScaledObject", "oms-order-relay")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 4)
    assert 'oms_outbox_oldest_age_seconds{service="order"' in spec["triggers"][0]["metadata"]["query"]


def test_a_second_release_in_a_namespace_shares_nothing_with_the_first() -> None:
    def names(release: str) -> set[tuple[str, str]]:
        text = run("template", release, str(CHART))
        return {(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(text) if one}

    assert not names("oms") & names("second")


def test_a_packaged_chart_contains_the_alerts_and_the_dashboards(tmp_path: Path) -> None:
    run("package", str(CHART), "--destination", str(tmp_path))
    (packaged,) = tmp_path.glob("oms-*.tgz")
    with tarfile.open(packaged) as archive:
        names = {member.name for member in archive if member.isfile()}
    assert {f"oms/{path.relative_to(CHART)}" for path in EXAMPLES.values()} <= names
    rendered = run("template", "oms", str(packaged), "--values", str(EXAMPLES["three-zones"]))
    assert rendered == run("template", "oms", str(CHART), "--values", str(EXAMPLES["three-zones"]))


def test_a_digest_decides_instead_of_a_tag(tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64
    objects = _rendered({"image": {"digest": digest, "repository": "registry.example.com/oms"}}, tmp_path)
    pod = _named(objects, "Deployment", "oms-order-api")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == f"registry.example.com/oms@{digest}"


def test_objects_of_ones_own_are_rendered_too(tmp_path: Path) -> None:
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-own"}}
    objects = _rendered({"extraObjects": [own, yaml.safe_dump(own | {"metadata": {"name": "text"}})]}, tmp_path)
    assert _named(objects, "ConfigMap", "oms-own")
    assert _named(objects, "ConfigMap", "text")


def test_a_careless_pod_is_found() -> None:
    assert [
        *problems_with({"containers": [{"image": "oms", "env": [{"name": "KAFKA_SASL_PASSWORD", "value": "x"}]}]})
    ] == [
        "it has a token for the API of the cluster",
        "Services of others set variables in it",
        "it may be root",
        "it has every system call",
        "it may get privileges",
        "it can write to its image",
        "it has capabilities",
        "it does not say what it needs",
        "its image is whichever there is",
        "KAFKA_SASL_PASSWORD is written in the manifest",
    ]
