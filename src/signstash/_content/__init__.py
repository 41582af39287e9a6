"""Contents of documents: reading, checking, storing and writing them."""
