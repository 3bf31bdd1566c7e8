"""The operators' own definitions of their objects, out of Go modules that are kept in the user's module cache."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

MODULES = {
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
    ),
    "keda.sh": ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases"),
    "external-secrets.io": ("github.com/external-secrets/external-secrets@v1.3.2", "config/crds/bases"),
}
_DOWNLOADED_WITHIN = 300.0


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """An equals sign is a text in these files, and not YAML 1.1's value."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_scalar)


class NoDefinitions(Exception):
    """They are not to be had here. The text is a sentence that says why."""


def problems_with_custom_resource(one: Mapping[str, Any]) -> Sequence[str]:
    """What an operator would not accept. Raises NoDefinitions."""
    group, _, version = one["apiVersion"].partition("/")
    schema = _schemas(group, one["kind"])[version]
    validator = jsonschema.Draft202012Validator(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(_own(one))]


def _own(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in one.items() if key != "metadata"}


@cache
def _schemas(group: str, kind: str) -> Mapping[str, Any]:
    """The schema of each version."""
    module, folder = MODULES[group]
    path = _downloaded(module) / folder / f"{group}_{kind.lower()}s.yaml"
    definition = yaml.load(path.read_text(), _Loader)  # noqa: S506  it is a safe one
    return {one["name"]: _closed(one["schema"]["openAPIV3Schema"]) for one in definition["spec"]["versions"]}


def _closed(schema: Any) -> Any:
    """The same schema, in which a field that is not named is wrong, as it is for `kubectl apply`."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed


@cache
def _downloaded(module: str) -> Path:
    go = shutil.which("go")
    if go is None:
        raise NoDefinitions(
            "the objects of operators are not validated: put Go on the PATH, which fetches their schemas"
        )
    ended = subprocess.run(
        [go, "mod", "download", "-json", module],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=_DOWNLOADED_WITHIN,
        check=False,
    )
    if ended.returncode != 0:
        raise NoDefinitions(f"the objects of operators are not validated: {module} is not to be had")
    return Path(json.loads(ended.stdout)["Dir"])
