"""The use cases, with the store in memory or with one that answers what a test tells it to."""
