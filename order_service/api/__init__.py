"""HTTP: the only place with FastAPI and Pydantic models."""
