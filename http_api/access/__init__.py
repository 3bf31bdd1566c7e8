"""Access: who calls (tokens, API keys), and what the caller may do (scopes)."""
