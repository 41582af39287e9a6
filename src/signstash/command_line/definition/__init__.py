"""Compares a definition that a proxy publishes with the contract. It needs nothing but Python and attrs."""
