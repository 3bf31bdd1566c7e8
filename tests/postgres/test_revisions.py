"""The revisions of a service's schema are known without Alembic, and as Alembic knows them."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from messaging.runtime import alembic as environment
from messaging.runtime.database import revisions_in
from messaging.runtime.service import Service
from oms.services import SERVICES


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_files_are_named_by_their_revisions_and_follow_one_another_by_name(service: Service) -> None:
    (folder,) = environment.__path__
    scripts = ScriptDirectory(folder, version_locations=[str(service.migrations)])
    in_order = [script.revision for script in scripts.walk_revisions()][::-1]

    found = revisions_in(service.migrations)

    assert in_order == sorted(found.known)
    assert [found.newest] == scripts.get_heads() == in_order[-1:]


def test_a_folder_without_migrations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are no migrations"):
        revisions_in(tmp_path)


def test_no_command_but_a_migration_takes_the_time_to_import_alembic() -> None:
    slow = "import oms.cli, sys; print(sorted({'alembic', 'sqlalchemy'} & sys.modules.keys()))"

    shown = subprocess.run([sys.executable, "-c", slow], capture_output=True, text=True, check=True).stdout

    assert shown == "[]\n"
