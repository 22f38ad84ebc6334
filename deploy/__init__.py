"""A trained network put to use: compacted with proof and report, exported, timed, used for photos, evaluated again."""
