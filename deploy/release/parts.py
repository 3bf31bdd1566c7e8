"""What is written of a release. Each function answers with a sentence for whatever could not be written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from deploy.release import helm
from deploy.release.version import CHART, ROOT, chart_version

DIST = ROOT / "dist"
IMAGE = "distributed-oms"


def wheel(version: str) -> Sequence[str]:
    """The package for pip. setuptools would also take what an earlier build has left in `build`."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    problems = _run(sys.executable, "-m", "build", "--wheel", "--outdir", str(DIST), ".")
    return problems or _written(f"distributed_oms-{version}-py3-none-any.whl")


def sbom(version: str) -> Sequence[str]:
    """The bill of materials, in CycloneDX: what requirements.lock has, with its hashes."""
    DIST.mkdir(exist_ok=True)
    name = f"distributed_oms-{version}.cdx.json"
    problems = _run(
        sys.executable,
        *("-m", "cyclonedx_py", "requirements", "requirements.lock", "--pyproject", "pyproject.toml"),
        *("--mc-type", "application", "--output-reproducible", "--of", "JSON", "--output-file", str(DIST / name)),
    )
    return problems or _written(name)


def chart(version: str) -> Sequence[str]:
    """The packaged chart, with the alerts and dashboards in it."""
    try:
        helm.run("package", str(CHART), "--destination", str(DIST))
    except (helm.NoHelm, helm.Refused) as reason:
        return [f"the chart is not packaged: {reason}"]
    return _written(f"oms-{chart_version(version)}.tgz")


def image(version: str) -> Sequence[str]:
    """The container image, in the local Docker. PYTHON_IMAGE names another base, as it does for the compose file."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
        return ["the image is not built: start a Docker engine"]
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    built = {"VERSION": version, "REVISION": revision.stdout.strip()}
    if base := os.environ.get("PYTHON_IMAGE"):
        built["PYTHON_IMAGE"] = base
    arguments = [part for name, value in built.items() for part in ("--build-arg", f"{name}={value}")]
    return _run(docker, "build", *arguments, "--tag", f"{IMAGE}:{version}", ".")


def _written(name: str) -> Sequence[str]:
    if not (DIST / name).exists():
        return [f"dist/{name} was not written"]
    print(f"written: dist/{name}")
    return []


def _run(*command: str) -> Sequence[str]:
    ended = subprocess.run(command, cwd=ROOT, check=False)
    return [f"{' '.join(command[:4])} … ended with {ended.returncode}"] if ended.returncode else []
