"""What does not depend on the layout: files that were never finished, and what the folder says about itself."""

from __future__ import annotations

import os
from pathlib import Path

from datasets.preparation.synthetic import MARKER
from datasets.preparation.verification.findings import Survey, refusal
from datasets.preparation.workspace import BEGUN, MANIFEST, read_object
from utils.errors import DataError
from utils.files import is_unfinished


def check_leftovers(root: Path, survey: Survey) -> None:
    """Note temporary files of a process that was killed, and a preparation that has not come to its end."""
    for folder, folders, names in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *names)):
            if is_unfinished(path):
                survey.add(path, "is temporary, and was never finished", "nothing: remove it, unless a preparation is running")
        folders[:] = [name for name in folders if not is_unfinished(Path(name))]
    if (root / BEGUN).exists() and not (root / MANIFEST).exists():
        survey.add(root / BEGUN, "the preparation of this set was not finished", "the same command again, which goes on")


def check_manifest(root: Path, survey: Survey) -> None:
    """Compare the splits with the numbers of frames that the set was prepared with."""
    for name in (MANIFEST, MARKER):
        written = "the JSON object that the preparation wrote"
        try:
            facts = read_object(root / name)
        except DataError as error:
            survey.problems.append(refusal(root / name, error, written))
            continue
        if (root / name).exists() and not facts:
            survey.add(root / name, "cannot be read", written)
        counts = facts.get("counts", facts.get("splits"))
        for split, count in counts.items() if isinstance(counts, dict) else ():
            found = survey.counts.get(split, 0)
            if found != count:
                survey.add(root / name, f"number of frames in {split}: {found}", f"{count}, as it says")
