"""Sends requests, and reads responses."""
