"""The file of a journal: its records, and the lock that one process holds."""
