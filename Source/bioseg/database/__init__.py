"""The database: request records, tasks, secrets. SQLite in the state folder by default, PostgreSQL by setting."""
