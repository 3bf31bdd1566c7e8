"""Nodes with pods, and the controllers of Deployments, Services and evictions."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count

from tests.real_parts.kubernetes.manifest import Deployment, Job, Manifest, PodTemplate
from tests.real_parts.kubernetes.pod import Machine, Pod

PROXIES_LAG = 2.0
"""Seconds after which the last proxy has heard that a pod is about to end."""
_SETTLES_WITHIN = 300.0
_LOOK_AFTER = 0.05


class Cluster:
    """Nodes, each in a zone of its own. `wrong` has what must not happen to any pod."""

    def __init__(self, machine: Machine, nodes: Sequence[str] = ("a", "b", "c")) -> None:
        self.pods: list[Pod] = []
        self.gone: list[Pod] = []
        self._machine = machine
        self._nodes = list(nodes)
        self._manifest = Manifest([], [], {})
        self._numbers = count(1)
        # Loopback addresses are pods' addresses: each has all ports to itself, as in a network namespace.
        self._network = f"127.{random.randrange(16, 240)}.{random.randrange(1, 250)}"
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def wrong(self) -> list[str]:
        """What must not happen to a pod, and has."""
        return [sentence for pod in (*self.gone, *self.pods) for sentence in pod.wrong]

    async def upgrade(self, manifest: Manifest) -> None:
        """`helm install` or `helm upgrade --wait`: the hooks, then everything else."""
        await self.prepare(manifest)
        await self.apply(manifest)

    async def prepare(self, manifest: Manifest) -> None:
        """The hooks, one after the other."""
        for job in manifest.hooks:
            await self._run(job)

    async def apply(self, manifest: Manifest) -> None:
        """Bring the Deployments to what the manifest says, all at the same time; `helm rollback` runs no hook."""
        self._manifest = manifest
        await asyncio.gather(*(self._converge(deployment) for deployment in manifest.deployments))

    def urls(self, service: str) -> list[str]:
        """Where a Service sends requests. A proxy may still send them to a pod that ends, for a moment."""
        component = self._manifest.services[service]
        now = asyncio.get_running_loop().time()
        return [
            f"http://{pod.address}:8000"
            for deployment in self._manifest.deployments
            if deployment.component == component
            for pod in self._pods_of(deployment, terminating=True)
            if (pod.ready if pod.terminating_since is None else now - pod.terminating_since < PROXIES_LAG)
        ]

    async def drain(self, node: str) -> None:
        """`kubectl drain`: no new pod comes here, and each one is evicted once its disruption budget allows it."""
        self._nodes.remove(node)
        async with asyncio.timeout(_SETTLES_WITHIN):
            await asyncio.gather(*(self._evict(deployment, node) for deployment in self._manifest.deployments))
        await self.apply(self._manifest)
        await self._all_ended()

    async def uninstall(self) -> None:
        """End all pods, as `helm uninstall` does."""
        await self.apply(
            replace(self._manifest, deployments=[replace(one, replicas=0) for one in self._manifest.deployments])
        )
        await self._all_ended()

    async def close(self) -> None:
        """Leave nothing running."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await asyncio.gather(*(pod.kill() for pod in (*self.pods, *self.gone)))

    async def _run(self, job: Job) -> None:
        pod = self._new_pod(job.name, job.template, node="")
        await pod.start()
        async with asyncio.timeout(_SETTLES_WITHIN):
            status = await pod.ended()
        assert status == 0, f"the hook {job.name} ended with {status}:\n{pod.log}"

    async def _converge(self, deployment: Deployment) -> None:
        """What the controller of Deployments does, until every pod is of the newest template and ready."""
        try:
            async with asyncio.timeout(_SETTLES_WITHIN):
                while not await self._step(deployment):
                    await asyncio.sleep(_LOOK_AFTER)
        except TimeoutError:
            logs = "\n".join(pod.log for pod in self._pods_of(deployment) if not pod.ready)
            raise AssertionError(f"{deployment.name} does not become ready; its pods say:\n{logs}") from None

    async def _step(self, deployment: Deployment) -> bool:
        """One decision; True when nothing is left to do."""
        pods = self._pods_of(deployment)
        new = [pod for pod in pods if pod.template == deployment.template]
        old = [pod for pod in pods if pod.template != deployment.template]
        ready = sum(pod.ready for pod in pods)
        if len(new) < deployment.replicas and len(pods) < deployment.replicas + deployment.surge:
            await self._schedule(deployment)
        elif len(new) > deployment.replicas:
            self._end(new[-1])
        elif old and (unready := [pod for pod in old if not pod.ready]):
            self._end(unready[0])
        elif old and ready > deployment.replicas - deployment.unavailable:
            self._end(old[0])
        else:
            return not old and ready == len(new) == deployment.replicas
        return False

    async def _schedule(self, deployment: Deployment) -> None:
        """Start a pod where the fewest of its kind are, as the topologySpreadConstraints want it."""
        here = Counter(pod.node for pod in self._pods_of(deployment) if pod.template == deployment.template)
        pod = self._new_pod(deployment.name, deployment.template, min(self._nodes, key=lambda node: here[node]))
        self.pods.append(pod)
        await pod.start()

    def _new_pod(self, name: str, template: PodTemplate, node: str) -> Pod:
        number = next(self._numbers)
        return Pod(f"{name}-{number}", template, self._machine, address=f"{self._network}.{number}", node=node)

    def _end(self, pod: Pod) -> None:
        async def ended() -> None:
            await pod.stop()
            self.pods.remove(pod)
            self.gone.append(pod)

        pod.terminating_since = asyncio.get_running_loop().time()
        task = asyncio.create_task(ended())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _all_ended(self) -> None:
        await asyncio.gather(*self._ending)

    async def _evict(self, deployment: Deployment, node: str) -> None:
        while here := [pod for pod in self._pods_of(deployment) if pod.node == node]:
            ready = sum(pod.ready for pod in self._pods_of(deployment))
            if ready > deployment.replicas - deployment.budget:
                self._end(here[0])
            await self._converge(deployment)

    def _pods_of(self, deployment: Deployment, *, terminating: bool = False) -> list[Pod]:
        return [
            pod
            for pod in self.pods
            if pod.name.rpartition("-")[0] == deployment.name and (terminating or pod.terminating_since is None)
        ]


@asynccontextmanager
async def cluster_on(machine: Machine) -> AsyncIterator[Cluster]:
    """A cluster without a pod; whatever still runs at the end is killed."""
    cluster = Cluster(machine)
    try:
        yield cluster
    finally:
        await cluster.close()
