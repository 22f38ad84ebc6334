"""Studies: many settings and seeds, trained, compared, tabulated and drawn."""
