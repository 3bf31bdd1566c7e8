"""What a release consists of, and what is asked about its dependencies."""
