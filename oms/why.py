"""Why a process did not answer a command."""

_NOT_TRUSTED = "CERTIFICATE_VERIFY_FAILED"  # so OpenSSL calls it; httpx keeps nothing but the text


def why(error: Exception) -> str:
    """The kind of an error of httpx, and what to do where that helps."""
    if _NOT_TRUSTED in str(error):
        return "its certificate is not trusted (SSL_CERT_FILE names the file of its authority)"
    return type(error).__name__
