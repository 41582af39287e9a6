"""Turns failures into exceptions."""
