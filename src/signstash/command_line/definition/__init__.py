"""What a definition that a proxy publishes has in common with the contract. It needs nothing but Python and attrs."""
