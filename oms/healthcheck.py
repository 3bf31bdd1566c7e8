"""`python -m oms.healthcheck`: is the process of this container alive? An image without a shell asks so.

It ends with 0 if so, else with 1. It asks METRICS_PORT, or 8000, over HTTPS if the process has a certificate.
"""

import os
import ssl
import sys
import urllib.request

_WITHIN_SECONDS = 2.0


def main() -> int:
    """The exit status."""
    secure = bool(os.environ.get("HTTP_TLS_CERTFILE"))
    url = f"http{'s' * secure}://127.0.0.1:{os.environ.get('METRICS_PORT') or 8000}/health/live"
    # The certificate is for the names that clients use. Nobody else can listen on this port in this container.
    context = ssl._create_unverified_context() if secure else None  # noqa: S323, SLF001
    try:
        with urllib.request.urlopen(url, timeout=_WITHIN_SECONDS, context=context):  # noqa: S310
            return 0
    except OSError as error:
        print(f"{url} does not answer with 200: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
