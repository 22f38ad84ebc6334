"""Tasks: their table, and what each learns: its loss, its metrics, and its prediction."""
