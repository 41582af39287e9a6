"""Requests and responses on their way."""
