"""The OrderStore port: one suite for every adapter, and what PostgreSQL alone can be asked."""
