"""Fuzzing by coverage: `python -m tests.campaigns.attack.fuzz NAME`, and options of libFuzzer."""

import sys

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # it is not on every machine

with atheris.instrument_imports(
    include=["http_api", "inventory_service", "jwt", "messaging", "order_service", "payment_service", "shared_kernel"]
):
    from tests.campaigns.attack.decoders import TARGETS


def main() -> None:
    """Fuzz the target that the first argument names."""
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
