"""From documents to a request, from a response to results."""
