"""Makes requests from documents, and results from responses."""
