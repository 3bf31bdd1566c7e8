"""What the pod runner reads of a manifest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

COMPONENT = "app.kubernetes.io/component"
HOOK, WEIGHT = "helm.sh/hook", "helm.sh/hook-weight"


@dataclass(frozen=True, slots=True)
class Probe:
    """An httpGet: `failures` in a row, one each `period`, are a failure of the pod."""

    path: str
    port: int
    period: float
    timeout: float
    failures: int


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """A pod with one container. `mounts` has the volumes by their paths."""

    image: str
    args: Sequence[str]
    env: Sequence[Mapping[str, Any]]
    grace_seconds: float
    pre_stop_seconds: float
    startup: Probe | None
    liveness: Probe | None
    readiness: Probe | None
    mounts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Deployment:
    """`surge` and `unavailable` are those of its rolling update, and `budget` is that of its PodDisruptionBudget."""

    name: str
    component: str
    replicas: int
    surge: int
    unavailable: int
    budget: int
    template: PodTemplate


@dataclass(frozen=True, slots=True)
class Job:
    """A hook that runs before a release's other objects."""

    name: str
    template: PodTemplate


@dataclass(frozen=True, slots=True)
class Manifest:
    """The hooks in the order of their weights, the Deployments, and the component that each Service names."""

    hooks: Sequence[Job]
    deployments: Sequence[Deployment]
    services: Mapping[str, str]

    def of_image(self, image: str) -> "Manifest":
        """The same of another release."""

        def of(template: PodTemplate) -> PodTemplate:
            return replace(template, image=image)

        return replace(
            self,
            hooks=[replace(job, template=of(job.template)) for job in self.hooks],
            deployments=[replace(one, template=of(one.template)) for one in self.deployments],
        )

    def with_one_of_each_but(self, component: str) -> "Manifest":
        """The same with as few pods as may be: those of this component, and one of each other."""
        few = [one if one.component == component else replace(one, replicas=1) for one in self.deployments]
        return replace(self, deployments=few)


def read_manifest(text: str) -> Manifest:
    """Read the output of `helm template`, or a file for `kubectl apply`."""
    objects = [found for found in yaml.safe_load_all(text) if found]
    jobs = sorted(_of_kind(objects, "Job"), key=lambda job: int(job["metadata"]["annotations"][WEIGHT]))
    budgets = {
        one["metadata"]["name"]: one["spec"]["maxUnavailable"] for one in _of_kind(objects, "PodDisruptionBudget")
    }
    fewest = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"].get("minReplicas") or one["spec"]["minReplicaCount"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for one in _of_kind(objects, kind)
    }
    return Manifest(
        hooks=[Job(job["metadata"]["name"], _template(job["spec"]["template"]["spec"])) for job in jobs],
        deployments=[_deployment(one, fewest, budgets) for one in _of_kind(objects, "Deployment")],
        services={
            one["metadata"]["name"]: one["spec"]["selector"][COMPONENT]
            for one in _of_kind(objects, "Service")
            if COMPONENT in one["spec"]["selector"]
        },
    )


def _of_kind(objects: Sequence[Mapping[str, Any]], kind: str) -> Iterator[Mapping[str, Any]]:
    return (one for one in objects if one["kind"] == kind)


def _deployment(found: Mapping[str, Any], fewest: Mapping[str, int], budgets: Mapping[str, int]) -> Deployment:
    name, spec = found["metadata"]["name"], found["spec"]
    rolling = spec["strategy"]["rollingUpdate"]
    return Deployment(
        name=name,
        component=found["metadata"]["labels"][COMPONENT],
        replicas=spec.get("replicas") or fewest[name],
        surge=rolling["maxSurge"],
        unavailable=rolling["maxUnavailable"],
        budget=budgets[name],
        template=_template(spec["template"]["spec"]),
    )


def _template(spec: Mapping[str, Any]) -> PodTemplate:
    (container,) = spec["containers"]
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    assert "command" not in container, "the image knows its program"
    return PodTemplate(
        image=container["image"],
        args=container["args"],
        env=container["env"],
        grace_seconds=spec.get("terminationGracePeriodSeconds", 30),
        pre_stop_seconds=container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0),
        startup=_probe(container.get("startupProbe"), ports),
        liveness=_probe(container.get("livenessProbe"), ports),
        readiness=_probe(container.get("readinessProbe"), ports),
        mounts={mount["mountPath"]: volumes[mount["name"]] for mount in container.get("volumeMounts", ())},
    )


def _probe(found: Mapping[str, Any] | None, ports: Mapping[str, int]) -> Probe | None:
    if found is None:
        return None
    get = found["httpGet"]
    return Probe(
        get["path"], ports[get["port"]], found["periodSeconds"], found["timeoutSeconds"], found["failureThreshold"]
    )
