"""The tasks of the data sets that ship, by name."""

from tasks.data_sets import DATA_SETS
from tasks.table import tasks_of

LABELLED = {
    "NYU": tasks_of(DATA_SETS["NYU"]),
    "NYU_MTAN": tasks_of(DATA_SETS["NYU_MTAN"]),
    "celebA": tasks_of(DATA_SETS["celebA"]),
    "celebA19": tasks_of(DATA_SETS["celebA"], "celebA19"),
}
"""Per label set the tasks of its data set."""

NYU, FACES = LABELLED["NYU"], LABELLED["celebA"]
EVERY = {**FACES, **NYU}
"""All tasks of the table."""
