"""The wire: TLS, passwords, tokens and certificates, against real servers."""
