"""One pod, as a process of this machine."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.real_parts.kubernetes.manifest import PodTemplate, Probe
from tests.real_parts.leftovers import MARK

_EVERYWHERE = "0.0.0.0"  # noqa: S104  what a container listens on
_READS_SECRETS_OF_FILES = "messaging/engine/secret_files.py"
"""Releases without this module, such as 0.2.0, were installed with their secrets in variables."""
_FROM_THIS_MACHINE = ("PATH", "HOME", "LANG", MARK)


@dataclass(frozen=True, slots=True)
class Machine:
    """What pods find. `images` has the PYTHONPATH of each image, and `variables` say where this machine's PostgreSQL
    and broker are, instead of the cluster's."""

    folder: Path
    images: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, str]]
    variables: Mapping[str, str]


class Pod:
    """A process with the probes of its container. `ready` is what its readiness probe says; `wrong` is what must not
    happen to a pod, as sentences."""

    def __init__(self, name: str, template: PodTemplate, machine: Machine, *, address: str, node: str = "") -> None:
        self.name = name
        self.template = template
        self.address = address
        self.node = node
        self.ready = False
        self.terminating_since: float | None = None
        self.memory_bytes = 0
        self.wrong: list[str] = []
        self._machine = machine
        self._folder = machine.folder / name
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def log(self) -> str:
        """The end of what it has printed."""
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    async def start(self) -> None:
        """Start the container, and probe it from now on."""
        root = self._folder / "root"
        root.mkdir(parents=True)
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "oms",
                *(self.address if argument == _EVERYWHERE else argument for argument in self.template.args),
                env=self.environment(),
                cwd=root,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._tasks = [asyncio.create_task(work) for work in (self._watched(), self._probed())]

    async def ended(self) -> int:
        """The status of a container that ends by itself."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """As a kubelet does it: preStop, SIGTERM, and SIGKILL when the time is over."""
        self.terminating_since = asyncio.get_running_loop().time()
        assert self._process is not None
        try:
            async with asyncio.timeout(self.template.grace_seconds):
                await asyncio.sleep(self.template.pre_stop_seconds)
                self.memory_bytes = psutil.Process(self._process.pid).memory_info().rss
                self._process.send_signal(signal.SIGTERM)
                if status := await self._process.wait():
                    self.wrong.append(f"{self.name} ended with {status} after SIGTERM:\n{self.log}")
        except (ProcessLookupError, psutil.NoSuchProcess):
            self.wrong.append(f"{self.name} was gone before SIGTERM")
        except TimeoutError:
            self.wrong.append(f"{self.name} was killed after {self.template.grace_seconds:.0f} s:\n{self.log}")
        await self.kill()
        if written := sorted(path.name for path in (self._folder / "root").iterdir()):
            self.wrong.append(f"{self.name} wrote {', '.join(written)} where its image cannot be written to")

    async def kill(self) -> None:
        """End it now."""
        self.ready = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def environment(self) -> dict[str, str]:
        """The variables of its process."""
        variables = {one["name"]: self._value(one) for one in self.template.env}
        speaks_to_kafka = "KAFKA_BOOTSTRAP_SERVERS" in variables
        variables |= {
            name: value
            for name, value in self._machine.variables.items()
            if speaks_to_kafka or not name.startswith("KAFKA_")
        }
        for path, volume in self.template.mounts.items():
            here = str(self._volume(volume))
            variables = {
                name: value.replace(path, here, 1) if value.startswith(path) else value
                for name, value in variables.items()
            }
        ours = {name: os.environ[name] for name in _FROM_THIS_MACHINE if name in os.environ}
        code = self._machine.images[self.template.image]
        if not (Path(code) / _READS_SECRETS_OF_FILES).exists():
            variables = {name.removesuffix("_FILE"): _content(name, value) for name, value in variables.items()}
        return ours | variables | {"PYTHONPATH": code, "PYTHONUNBUFFERED": "1"}

    def _value(self, variable: Mapping[str, Any]) -> str:
        if "valueFrom" not in variable:
            return str(variable["value"])
        key = variable["valueFrom"]["secretKeyRef"]
        return self._machine.secrets[key["name"]][key["key"]]

    def _volume(self, volume: Mapping[str, Any]) -> Path:
        folder = self._folder / str(volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        if "secret" in volume:
            keys = self._machine.secrets[volume["secret"]["secretName"]]
            for item in volume["secret"].get("items") or [{"key": key, "path": key} for key in keys]:
                (folder / item["path"]).write_text(keys[item["key"]])
        return folder

    async def _watched(self) -> None:
        status = await self.ended()
        self.ready = False
        if self.terminating_since is None and self.template.startup:
            self.wrong.append(f"{self.name} ended with {status}:\n{self.log}")

    async def _probed(self) -> None:
        if self.template.startup:
            await self._until(self.template.startup, answers=True)
        async with asyncio.TaskGroup() as probes:
            if self.template.liveness:
                probes.create_task(self._until(self.template.liveness, answers=False))
            if self.template.readiness:
                probes.create_task(self._readiness(self.template.readiness))

    async def _until(self, probe: Probe, *, answers: bool) -> None:
        """Return when the probe answers, or go on as long as it does; failing too often is wrong."""
        failures = 0
        while failures < probe.failures:
            if await _answers(self.address, probe):
                failures = 0
                if answers:
                    return
            else:
                failures += 1
            await asyncio.sleep(probe.period)
        self.wrong.append(f"{self.name} does not answer {probe.path}:\n{self.log}")

    async def _readiness(self, probe: Probe) -> None:
        failures = 0
        while True:
            failures = 0 if await _answers(self.address, probe) else failures + 1
            self.ready = failures == 0 or (self.ready and failures < probe.failures)
            await asyncio.sleep(probe.period)


def _content(name: str, value: str) -> str:
    """What a variable says, or the file that it names."""
    return Path(value).read_text() if name.endswith("_FILE") else value


async def _answers(address: str, probe: Probe) -> bool:
    """True when a GET is answered with 200."""
    try:
        async with asyncio.timeout(probe.timeout):
            reader, writer = await asyncio.open_connection(address, probe.port)
            try:
                writer.write(f"GET {probe.path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).startswith(b"HTTP/1.1 200")
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False
