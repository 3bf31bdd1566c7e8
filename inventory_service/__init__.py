"""The inventory service: the catalogue, its stock, and the reservations of orders."""
