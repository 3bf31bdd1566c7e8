"""The objects of a release: as committed, with the default values, and with those of each example."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from deploy.release.helm import EXAMPLES, NoHelm, template
from deploy.release.version import MANIFEST

Object = Mapping[str, Any]
COMMITTED = "deploy/kubernetes"
RENDERED = [COMMITTED, "defaults", *EXAMPLES]


@cache
def objects_of(which: str) -> list[Object]:
    """One of RENDERED. Without helm, the test is skipped if it needs more than what is committed."""
    if which == COMMITTED:
        return [*yaml.safe_load_all(MANIFEST.read_text())]
    try:
        text = template(values=[EXAMPLES[which]] if which in EXAMPLES else [])
    except NoHelm as missing:
        pytest.skip(str(missing))
    return [found for found in yaml.safe_load_all(text) if found]
