"""A certificate authority for tests, and the files of what it issues."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme
from cryptography.hazmat.primitives import serialization

LOOPBACK: Final = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate with its chain, its key, and both in one file, as Kafka reads them."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """An authority whose certificate is in `ca`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.ca = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *hosts: str) -> Files:
        """A certificate for these hosts, or of a client with this name."""
        issued = self._authority.issue_cert(*(hosts or (name,)), common_name=name)
        files = Files(self._folder / f"{name}.crt", self._folder / f"{name}.key", self._folder / f"{name}.pem")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files.certificate.write_bytes(chain)
        files.key.write_bytes(key)
        files.key.chmod(0o600)
        files.both.write_bytes(key + chain)
        return files
