"""How the library's jobs are carried out: as Prefect task runs, on Ray, on a server of our own."""
