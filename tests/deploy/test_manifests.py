"""What is rendered: valid for Kubernetes, harmless, and in agreement with what the processes do."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.release import helm
from deploy.release.version import MANIFEST, ROOT
from messaging.ports.outbox import SHARDS
from messaging.runtime.settings import Role
from oms.process import LOOP_ENDS_WITHIN_SECONDS, STOP_WITHIN_SECONDS
from oms.services import SERVICES, TOPICS
from tests.deploy.custom_resources import NoDefinitions, problems_with_custom_resource
from tests.deploy.policies import pods_of, problems_with
from tests.deploy.rendered import RENDERED, objects_of

Object = Mapping[str, Any]
COMPONENT, ROLES = "app.kubernetes.io/component", tuple(Role)
KUBERNETES = ("1.30", kubernetes_validate.latest_version())
# It reads its definitions, some megabytes, for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def _of_kind(objects: Sequence[Object], kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def _deployments(objects: Sequence[Object]) -> dict[str, Object]:
    return {one["metadata"]["labels"][COMPONENT]: one for one in objects if one["kind"] == "Deployment"}


@pytest.fixture(params=RENDERED)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """Everything of a release: as committed, with the default values, and with those of each example."""
    return objects_of(request.param)


def test_the_committed_manifest_is_what_helm_renders() -> None:
    try:
        rendered = helm.manifest()
    except helm.NoHelm as missing:
        pytest.skip(str(missing))
    assert MANIFEST.read_text() == rendered, "run make manifests"


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_accepts_every_object(objects: list[Object], version: str) -> None:
    for one in objects:
        if re.fullmatch(r"v1|(apps|batch|policy|autoscaling)/v\d|[a-z.]+\.k8s\.io/v\d", one["apiVersion"]):
            kubernetes_validate.validate(dict(one), version, strict=True)


def test_the_operators_accept_every_object_of_theirs() -> None:
    custom = [
        one for one in objects_of("three-zones") if "." in one["apiVersion"] and "k8s.io" not in one["apiVersion"]
    ]
    assert {one["kind"] for one in custom} >= {"ScaledObject", "ServiceMonitor", "PrometheusRule", "ExternalSecret"}
    try:
        wrong = {one["metadata"]["name"]: found for one in custom if (found := problems_with_custom_resource(one))}
    except NoDefinitions as missing:
        pytest.skip(str(missing))
    assert not wrong


def test_no_pod_is_allowed_what_it_does_not_need(objects: list[Object]) -> None:
    assert {name: found for name, pod in pods_of(objects) if (found := [*problems_with(pod)])} == {}


def test_there_is_a_deployment_a_budget_and_a_spread_for_each_service_and_role(objects: list[Object]) -> None:
    deployments = _deployments(objects)
    budgets = {one["metadata"]["labels"][COMPONENT]: one for one in objects if one["kind"] == "PodDisruptionBudget"}

    assert set(deployments) == set(budgets) == {f"{service}-{role}" for service in SERVICES for role in ROLES}
    for component, deployment in deployments.items():
        selector = deployment["spec"]["selector"]["matchLabels"]
        pod = deployment["spec"]["template"]
        assert selector.items() <= pod["metadata"]["labels"].items()
        assert budgets[component]["spec"]["selector"]["matchLabels"] == selector
        assert (budgets[component]["spec"]["maxUnavailable"], component) == (1, component)
        spread = pod["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert all(one["labelSelector"]["matchLabels"] == selector for one in spread)


def test_a_container_runs_its_service_and_role_and_is_probed_where_health_is(objects: list[Object]) -> None:
    for component, deployment in _deployments(objects).items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        service, _, role = component.partition("-")
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        variables = {one["name"]: one.get("value") for one in container["env"]}

        assert container["args"][:4] == ["serve", service, "--roles", role]
        assert variables["METRICS_PORT"] == str(ports["metrics"])
        assert ("http" in ports) == (role == Role.API)
        assert {name for name in variables if "DATABASE_URL" in name} == {f"{service.upper()}_DATABASE_URL_FILE"}
        assert any(name.startswith("KAFKA_") for name in variables) == (role != Role.API)
        probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {probe["port"] for probe in probes.values()} == {"metrics"}
        assert [probe["path"] for probe in probes.values()] == ["/health/live", "/health/live", "/health/ready"]


def test_a_pod_has_longer_than_its_processes_need_to_stop_and_only_an_api_waits_before_it(
    objects: list[Object],
) -> None:
    for component, deployment in _deployments(objects).items():
        pod = deployment["spec"]["template"]["spec"]
        waits = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

        assert (waits > 0) == component.endswith("-api"), component
        assert pod["terminationGracePeriodSeconds"] > waits + STOP_WITHIN_SECONDS + LOOP_ENDS_WITHIN_SECONDS


def test_an_api_is_replaced_before_it_goes_and_a_consumer_never_makes_one_too_many(objects: list[Object]) -> None:
    for component, deployment in _deployments(objects).items():
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        expected = (1, 0) if component.endswith("-api") else (0, 1)
        assert (rolling["maxSurge"], rolling["maxUnavailable"]) == expected


def test_hooks_use_nothing_that_the_chart_makes_later(objects: list[Object]) -> None:
    hooks = [one for one in objects if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    kinds = ("Secret", "ConfigMap", "ExternalSecret", "ServiceAccount")
    later = {one["metadata"]["name"] for one in objects if one not in hooks and one["kind"] in kinds}
    jobs = {one["metadata"]["labels"][COMPONENT]: one for one in hooks if one["kind"] == "Job"}
    weights = {name: int(job["metadata"]["annotations"]["helm.sh/hook-weight"]) for name, job in jobs.items()}
    secrets = [int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in hooks if one["kind"] != "Job"]

    assert [*weights] == ["migrate", "topics"]
    assert max([-9, *secrets]) < weights["migrate"] < weights["topics"]
    for job in jobs.values():
        pod = job["spec"]["template"]["spec"]
        assert "serviceAccountName" not in pod
        assert not {name for name in _referred(pod) if name in later}


def _referred(pod: Object) -> Iterator[str]:
    """The secrets and config maps that a pod names."""
    for volume in pod["volumes"]:
        yield from (volume[kind].get("secretName", "") for kind in ("secret",) if kind in volume)
        assert "configMap" not in volume
    (container,) = pod["containers"]
    for variable in container["env"]:
        if "valueFrom" in variable:
            yield variable["valueFrom"]["secretKeyRef"]["name"]
    for source in container.get("envFrom", ()):
        yield from (reference["name"] for reference in source.values())


def test_nothing_grows_beyond_its_partitions_or_shards_and_lag_is_asked_where_it_is(objects: list[Object]) -> None:
    partitions = {topic.name: topic.partitions for topic in TOPICS}
    for component, deployment in _deployments(objects).items():
        name, (service, _, role) = deployment["metadata"]["name"], component.partition("-")
        most = {
            Role.API: 1000,
            Role.RELAY: SHARDS,
            Role.CONSUMER: sum(partitions[topic] for topic in SERVICES[service].consumes),
        }[Role(role)]
        scalers = [
            one["spec"]
            for one in objects
            if one["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")
            and one["spec"]["scaleTargetRef"]["name"] == name
        ]
        assert ("replicas" in deployment["spec"]) == (not scalers), f"{component} is scaled by two"
        for scaler in scalers:
            assert scaler.get("maxReplicas", scaler.get("maxReplicaCount")) <= most
        assert deployment["spec"].get("replicas", 0) <= most
        if role == Role.CONSUMER and scalers:
            asked = [trigger["metadata"] for trigger in scalers[0]["triggers"]]
            assert {one["topic"] for one in asked} == set(SERVICES[service].consumes)
            assert {one["consumerGroup"] for one in asked} == {f"{service}-service"}


def test_the_rate_of_a_caller_is_that_of_all_processes_of_an_api_together(objects: list[Object]) -> None:
    scalers = _of_kind(objects, "HorizontalPodAutoscaler")
    for component, deployment in _deployments(objects).items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        told = {one["name"]: one.get("value") for one in container["env"]}.get("RATE_LIMIT_PROCESSES")
        scaler = scalers.get(deployment["metadata"]["name"])
        most = scaler["spec"]["maxReplicas"] if scaler else deployment["spec"].get("replicas")
        assert told == (str(most) if component.endswith("-api") else None), component


def test_relays_are_two(objects: list[Object]) -> None:
    relays = {component: one for component, one in _deployments(objects).items() if component.endswith("-relay")}
    assert {one["spec"]["replicas"] for one in relays.values()} == {2}


def test_a_service_leads_to_the_pods_of_an_api(objects: list[Object]) -> None:
    services = _of_kind(objects, "Service")
    assert set(services) == {*(f"oms-{service}" for service in SERVICES), "oms-metrics"}
    for service in SERVICES:
        spec = services[f"oms-{service}"]["spec"]
        assert spec["selector"][COMPONENT] == f"{service}-api"
        assert [(port["port"], port["targetPort"]) for port in spec["ports"]] == [(8000, "http")]
    assert COMPONENT not in services["oms-metrics"]["spec"]["selector"]


def test_the_accounts_have_no_token(objects: list[Object]) -> None:
    (account,) = _of_kind(objects, "ServiceAccount").values()
    assert account["automountServiceAccountToken"] is False


def test_a_pod_reaches_only_what_its_role_needs(objects: list[Object]) -> None:
    for component in (*_deployments(objects), "migrate", "topics"):
        _, _, role = component.partition("-")
        reaches = _ports(objects, component, "egress") - {4318}
        database, kafka, https = {5432}, reaches & {9092, 9093}, {443}
        expected: set[int | str] = {53}
        if component != "topics":
            expected |= database
        if role in (Role.RELAY, Role.CONSUMER) or component == "topics":
            assert kafka, component
            expected |= kafka
        if role == Role.API or component == "payment-consumer":
            expected |= https
        assert reaches == expected, component
        assert _ports(objects, component, "ingress") - {"metrics"} == ({"http"} if role == Role.API else set())


def _ports(objects: Sequence[Object], component: str, direction: str) -> set[int | str]:
    """The ports that the policies which select a component open."""
    labels = {"app.kubernetes.io/name": "oms", "app.kubernetes.io/instance": "oms", COMPONENT: component}
    opened: set[int | str] = set()
    closed = False
    for policy in _of_kind(objects, "NetworkPolicy").values():
        selector = policy["spec"]["podSelector"]
        assert selector["matchLabels"].items() <= labels.items()
        if all(labels[one["key"]] in one["values"] for one in selector.get("matchExpressions", ())):
            closed = closed or direction.capitalize() in policy["spec"]["policyTypes"]
            opened |= {port["port"] for rule in policy["spec"].get(direction, ()) for port in rule["ports"]}
    assert closed, f"{component} has no policy for its {direction}"
    return opened


def test_the_alerts_and_the_dashboards_are_those_of_the_repository() -> None:
    objects = objects_of("three-zones")
    (rules,) = _of_kind(objects, "PrometheusRule").values()
    (dashboards,) = _of_kind(objects, "ConfigMap").values()
    (monitor,) = _of_kind(objects, "ServiceMonitor").values()

    assert rules["spec"] == yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
    folder = ROOT / "deploy" / "grafana" / "dashboards"
    assert dashboards["data"] == {path.name: path.read_text() for path in folder.glob("*.json")}
    assert [(one["port"], one["relabelings"][0]["replacement"]) for one in monitor["spec"]["endpoints"]] == [
        ("metrics", "oms")
    ]
