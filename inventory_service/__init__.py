"""The inventory service: the catalogue, its stock, and what is held of it for orders."""
