"""What goes wrong in production, done on purpose. docs/reliability.md says which mechanism each test holds up."""
