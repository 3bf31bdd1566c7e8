"""The wiring of a process: its settings, its storage, its transport and its roles."""
