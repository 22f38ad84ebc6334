"""CelebAMask-HQ: which files ``datasets/celeba.py`` would read, and whether the text files make sense line by line."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from datasets.celeba import (
    ATTRIBUTE_FILE,
    MAPPING_FILE,
    SPLIT_NAMES,
    CelebAMaskHQ,
    _number,
    official_splits,
    read_attributes,
    splits_from_json,
)
from datasets.preparation.synthetic import MARKER
from datasets.preparation.verification.contents import examine_image
from datasets.preparation.verification.findings import Content, File, Survey, refusal, some
from datasets.preparation.verification.leftovers import read_json
from datasets.preparation.verification.nyud_mt import check_members, check_overlaps
from datasets.preparation.workspace import MANIFEST
from utils.errors import DataError
from utils.tasks import CELEBA_19_CLASSES, CELEBA_ATTRIBUTES, CELEBA_CLASSES

IMAGES, SEGMENTATION = "CelebA-HQ-img", "segmentsemantic"
LOOKED_AT = 25
"""Masks that are looked at to find out how many classes a set has that does not say it."""


class Faces(CelebAMaskHQ):
    """The files of a set, without a split: names are given one by one."""

    def __init__(self, root: Path) -> None:
        self.root, self.images = root, root / IMAGES
        self.void_is_background = False

    def mask_size(self, path: Path, classes: int) -> tuple[int, int]:
        """Height and width of a mask, read as the loaders do."""
        size = self._read_mask(path, classes)[0].shape[-2:]
        return int(size[0]), int(size[1])


def examine_mask(path: Path, classes: int) -> Content:
    """A mask of labels below ``classes``, or 255."""
    try:
        return Content(Faces(path.parent.parent).mask_size(path, classes))
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole array of whole numbers"),))


def is_celebamask(root: Path) -> bool:
    """Is this folder a CelebAMask-HQ?"""
    return (root / IMAGES).is_dir()


def survey_celebamask(root: Path) -> Survey:
    """The faces of all splits that the folder knows, with their images, masks and attributes."""
    survey = Survey("CelebAMask-HQ")
    faces = Faces(root)
    there = {path.name for path in faces.images.iterdir()}
    sources = _read_sources(root, survey)
    names = {name: source for source, splits in sources.items() for members in splits.values() for name in members}
    if not sources:
        # Without any list of faces, all are looked at that are there.
        names = {Path(file).stem: IMAGES for file in sorted(there) if file.endswith(".jpg") and Path(file).stem.isdigit()}
    survey.unused = len({Path(file).stem for file in there if file.endswith(".jpg")} - names.keys())
    for name, source in names.items():
        (path,) = faces.files(name, None)
        if path.name in there:
            survey.files.append(File(path, examine_image))
        else:
            survey.add(path, "is missing", f"a file, as {source} names it")
    _add_masks(faces, names, survey)
    if (root / ATTRIBUTE_FILE).is_file():
        survey.targets.append("attributes")
        _check_attributes(root / ATTRIBUTE_FILE, list(names), survey)
    if not survey.targets:
        survey.add(root, "has no targets", f"CelebA-HQ-segmask (prepare_data.py celeba makes it) or {ATTRIBUTE_FILE}")
    return survey


def _add_masks(faces: Faces, names: dict[str, str], survey: Survey) -> None:
    wanted = {name: faces.files(name, SEGMENTATION)[0] for name in names}
    folder = next((path.parent for path in wanted.values()), None)
    if folder is None or not folder.is_dir():
        return
    there = {path.name for path in folder.iterdir()}
    classes, how = _classes(faces, [path for path in wanted.values() if path.name in there])
    survey.targets.append(f"{folder.name} (.npy, {classes} classes{how})")
    for name, path in wanted.items():
        if path.name in there:
            image = faces.files(name, None)[0]
            examine = partial(examine_mask, classes=classes)
            survey.files.append(File(path, examine, image=image, any_scale=True))
        else:
            survey.add(path, "is missing", f"a file, as {names[name]} names {name}.jpg")


def _classes(faces: Faces, masks: list[Path]) -> tuple[int, str]:
    """3 or 19: as the manifest says, or else as most masks have it (every face has parts beyond hair and skin)."""
    few, many = len(CELEBA_CLASSES), len(CELEBA_19_CLASSES)
    recipe = read_json(faces.root / MANIFEST).get("recipe")
    if isinstance(recipe, dict) and recipe.get("classes") in (few, many):
        return recipe["classes"], ""
    beyond = readable = 0
    for path in masks[:: max(1, len(masks) // LOOKED_AT)]:
        fits = [not examine_mask(path, classes).problems for classes in (few, many)]
        readable += fits[1]
        beyond += fits[1] and not fits[0]
    return (many if 2 * beyond > readable else few), ", by the look of them"


def _read_sources(root: Path, survey: Survey) -> dict[str, dict[str, list[str]]]:
    """Faces per split, per file that lists them: the mapping file and JSON files of names."""
    found: dict[str, dict[str, list[str]]] = {}
    mapping = root / MAPPING_FILE
    if mapping.is_file():
        try:
            _check_mapping(mapping, survey)
            found[MAPPING_FILE] = official_splits(mapping)
        except DataError as error:
            _note_once(refusal(mapping, error, "lines 'idx orig_idx orig_file'"), survey)
        except (OSError, ValueError) as error:
            survey.add(mapping, f"cannot be read ({error})", "a text file")
    for path in sorted(root.glob("*.json")):
        keys, known = read_json(path).keys(), {name for names in SPLIT_NAMES.values() for name in names}
        if path.name in (MANIFEST, MARKER) or (keys and not keys & known):
            continue  # about something else
        try:
            found[path.name] = splits_from_json(root, path.name)
        except DataError as error:
            survey.problems.append(refusal(path, error, "a JSON object of lists of file names per split"))
    if not found and not mapping.is_file():
        survey.add(mapping, "is missing", "the official split, or a JSON file of names per split")
    for name, splits in found.items():
        for split, members in splits.items():
            # Without faces of its own, validation is cut from the training faces.
            if members or split != "val":
                check_members(root / name, split, members, survey)
        check_overlaps(root / name, splits, "", survey)
    if found:
        survey.counts = {split: len(members) for split, members in next(iter(found.values())).items()}
    return found


def _note_once(problem: tuple[str, str, str], survey: Survey) -> None:
    """What a reader says of a whole text file, unless its lines are in the table already."""
    path = problem[0]
    if not any(row.path == path or row.path.startswith(f"{path}:") for row in survey.problems):
        survey.add(*problem)


def _check_mapping(path: Path, survey: Survey) -> None:
    """Every line but a title: the face's number and its number in the original CelebA."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split()
        title = number == 1 and fields[:1] == ["idx"]
        if fields and not title and not (len(fields) >= 2 and fields[0].isdigit() and fields[1].isdigit()):
            survey.add(f"{path}:{number}", f"is {line.strip()!r}", "idx orig_idx orig_file")


def _check_attributes(path: Path, names: list[str], survey: Survey) -> None:
    """Every line of the attribute file, and that every face has one."""
    try:
        lines = [(number, line.split()) for number, line in enumerate(path.read_text().splitlines(), 1) if line.strip()]
    except (OSError, ValueError) as error:
        survey.add(path, f"cannot be read ({error})", "a text file")
        return
    count = lines.pop(0)[1] if lines and len(lines[0][1]) == 1 and lines[0][1][0].isdigit() else None
    header = lines.pop(0)[1] if lines else []
    absent = [column for column in CELEBA_ATTRIBUTES if column not in header]
    if absent:
        survey.add(path, f"has no column {some(absent)}", "the names of the forty attributes in the first or second line")
        return
    if count is not None and int(count[0]) != len(lines):
        survey.add(path, f"has lines for {len(lines)} images", f"{count[0]}, as its first line says")
    numbers: Counter[str] = Counter()
    for number, (file, *values) in lines:
        try:
            numbers[_number(file)] += 1
        except ValueError:
            survey.add(f"{path}:{number}", f"begins with {file!r}", "<number>.jpg")
        wrong = [value for value in values if value not in ("-1", "0", "1", "+1")]
        if len(values) != len(header):
            survey.add(f"{path}:{number}", f"has {len(values)} values", f"{len(header)}, as there are attributes")
        elif wrong:
            survey.add(f"{path}:{number}", f"has the value {wrong[0]!r}", "-1 or 1 (0: unknown)")
    twice = [name for name, lines_of in numbers.items() if lines_of > 1]
    if twice:
        survey.add(path, f"has more than one line for {some(twice)}", "one line per image")
    missing = [f"{name}.jpg" for name in names if name not in numbers]
    if missing:
        survey.add(path, f"has no line for {some(missing)}", "one line per image")
    try:
        read_attributes(path, CELEBA_ATTRIBUTES)
    except DataError as error:
        _note_once(refusal(path, error, "'<number>.jpg' and forty values per line"), survey)
