"""Studies: what is to be run, doing it, what came out, and telling it."""
