"""
Search: the notes that a reader looks for, from an index in memory.

The index is of the published notes of one Site, and follows the Site by what differs.
Each process has its own: SQLite does not survive a fork. Nothing here reads or writes
the database.
"""
