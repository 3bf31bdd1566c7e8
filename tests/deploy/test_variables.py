"""The variables of each container, and the settings of the process that reads them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy.release.helm import EXAMPLES
from deploy.release.version import ROOT
from http_api.access.settings import AuthSettings
from messaging.kafka.settings import KafkaSettings
from messaging.runtime.telemetry import TelemetrySettings
from oms.services import SERVICES
from tests.deploy.policies import pods_of
from tests.deploy.rendered import COMMITTED, RENDERED, objects_of
from tests.deploy.settings import settings_of_processes
from tests.real_parts.authority import Authority
from tests.real_parts.kubernetes.manifest import read_manifest
from tests.real_parts.kubernetes.pod import Machine, Pod
from tests.real_parts.order_process import OURS


@pytest.mark.parametrize("which", RENDERED)
def test_each_variable_is_a_setting(which: str) -> None:
    known = settings_of_processes()
    for name, pod in pods_of(objects_of(which)):
        assert {one["name"].removesuffix("_FILE") for one in pod["containers"][0]["env"]} <= known, name


@pytest.mark.parametrize("which", [COMMITTED, *EXAMPLES])
def test_each_process_accepts_its_variables(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(yaml.safe_dump_all(objects_of(which)))
    templates = {one.name: one.template for one in manifest.deployments} | {
        one.name: one.template for one in manifest.hooks
    }
    images = {template.image: str(ROOT) for template in templates.values()}
    machine = Machine(tmp_path, images, _AnySecret(tmp_path), {})
    for name, template in templates.items():
        environment = Pod(name, template, machine, address="").environment()
        of_services = [service for service in SERVICES.values() if f"-{service.name}-" in name] or SERVICES.values()
        with monkeypatch.context() as patched:
            for ours in [variable for variable in os.environ if variable.startswith(OURS)]:
                patched.delenv(ours)
            for variable, value in environment.items():
                patched.setenv(variable, value)
            kinds: list[type[BaseSettings]] = [KafkaSettings, TelemetrySettings, AuthSettings]
            for kind in (*kinds, *(service.settings for service in of_services)):
                kind()


class _AnySecret(Mapping[str, Mapping[str, str]]):
    """Whatever a manifest names: an authority where the key is one, else a text that is also a database's address."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority(folder).ca.read_text()

    def __getitem__(self, name: str) -> Mapping[str, str]:
        return _AnyKey(self._authority)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _AnyKey(dict[str, str]):
    def __init__(self, authority: str) -> None:
        super().__init__({"ca.crt": authority})

    def __missing__(self, key: str) -> str:
        return "postgresql://somebody@database/orders"
