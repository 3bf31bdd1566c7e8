"""What every pod of ours has to be like, whatever the values."""

from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]


def pods_of(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """The pods of Deployments and Jobs, with a name for each."""
    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            yield f"{one['kind']} {one['metadata']['name']}", one["spec"]["template"]["spec"]


def problems_with(pod: Object) -> Iterator[str]:
    """A sentence for each thing that a pod must not be, or has to be and is not."""
    security = pod.get("securityContext", {})
    if pod.get("automountServiceAccountToken") is not False:
        yield "it has a token for the API of the cluster"
    if pod.get("enableServiceLinks") is not False:
        yield "Services of others set variables in it"
    if not security.get("runAsNonRoot") or not security.get("runAsUser", 0):
        yield "it may be root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "it has every system call"
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(shared):
            yield f"it has {shared}"
    for volume in pod.get("volumes", ()):
        yield from _problems_with_volume(volume)
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        yield from _problems_with_container(container)


def _problems_with_volume(volume: Object) -> Iterator[str]:
    if not set(volume) & {"emptyDir", "secret"}:
        yield f"its volume {volume['name']} is neither a secret nor empty"
    if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
        yield f"its volume {volume['name']} has no limit"


def _problems_with_container(container: Object) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield "it may get privileges"
    if not security.get("readOnlyRootFilesystem"):
        yield "it can write to its image"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "it has capabilities"
    resources = container.get("resources", {})
    if set(resources.get("requests", ())) != {"cpu", "memory"} or "memory" not in resources.get("limits", ()):
        yield "it does not say what it needs"
    _, _, tag = container["image"].rpartition("/")[2].partition(":")
    if tag in ("", "latest"):
        yield "its image is whichever there is"
    if (
        set(container.get("lifecycle", {}).get("preStop", {})) - {"sleep"}
        or container.get("command", ["python"])[0] != "python"
    ):
        yield "it needs a program of the image that is not ours"
    for variable in container.get("env", ()):
        if (
            variable["name"].endswith(("PASSWORD", "DATABASE_URL", "SECRET", "GATEWAY_KEY", "HEADERS"))
            and "valueFrom" not in variable
        ):
            yield f"{variable['name']} is written in the manifest"
