"""Secrets among the settings: NAME has the secret, or NAME_FILE names the file that holds it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from messaging.engine.renewed import Renewed

MOST = 64 * 1024
"""The largest file of a secret, in bytes."""


@dataclass(frozen=True, slots=True)
class Secrecy:
    """Marks a setting that is a secret."""


SECRET: Final = Secrecy()


@dataclass(frozen=True, slots=True)
class InFile:
    """The value of NAME where NAME_FILE is set. `twice` is true where NAME is set, too."""

    name: str
    path: Path
    twice: bool

    def check(self) -> None:
        """Raise ValueError with a sentence about what is wrong."""
        if self.twice:
            raise ValueError(f"and {self.name} are both set: leave one of them out")
        try:
            read_secret(self.path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"is not in the file {self.path}, which {self.name} names: {reason}") from None


class SecretOfFile(SecretStr):
    """The secret that a file holds now. A changed file is read again at the next use, and the settings stay equal."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._current = Renewed(lambda: read_secret(path), [path])

    def get_secret_value(self) -> str:
        """See SecretStr."""
        return self._current()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretOfFile) and self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)


def read_secret(path: Path) -> str:
    """The text of a file, without the end of its line. Raises OSError, and ValueError for a file without a secret."""
    with path.open("rb") as file:
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise ValueError(f"it is larger than {MOST} bytes")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    if not text:
        raise ValueError("it is empty")
    return text


def _secret(value: Any) -> Any:
    if isinstance(value, InFile):
        value.check()
        return SecretOfFile(value.path)
    return value


Secret = Annotated[SecretStr | None, BeforeValidator(_secret), SECRET]
"""The type of a setting that is a password or a key."""


class Settings(BaseSettings):
    """Settings from environment variables, with the secrets among them perhaps from files."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """See pydantic-settings."""
        del dotenv_settings, file_secret_settings
        return init_settings, _SecretFiles(settings_cls), env_settings


class _SecretFiles(EnvSettingsSource):
    """The files of the settings that are marked as secrets."""

    def __call__(self) -> dict[str, Any]:
        found = {}
        for field, described in self.settings_cls.model_fields.items():
            name = f"{self.env_prefix}{field}".lower()
            path = self.env_vars.get(f"{name}_file")
            if SECRET in described.metadata and path is not None:
                found[field] = InFile(f"{name}_file".upper(), Path(path), twice=name in self.env_vars)
        return found
