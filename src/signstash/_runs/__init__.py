"""Signing any number of documents."""
