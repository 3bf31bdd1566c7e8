"""The rules of orders and money: pure, so no part of these tests waits for anything."""
