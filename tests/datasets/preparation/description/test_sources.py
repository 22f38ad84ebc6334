"""Places with images and targets: found by names alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.preparation.description.sources import Source, find_images, find_sources, shortened
from utils.errors import DataError


def save(path: Path, *shape: int) -> None:
    """An image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape or (8, 8, 3)).astype(np.uint8)).save(path)


def found(root: Path) -> tuple[dict[str, Source], list[str]]:
    """The places by the names of their tasks, and the notes."""
    images, pictures = find_images(root, None)
    sources, notes = find_sources(root, images.folder, pictures)
    return {source.name: source for source in sources}, notes


@pytest.mark.parametrize("usual", ["photos", "images"])
def test_the_images_are_the_photos_with_the_usual_name(usual: str, tmp_path: Path) -> None:
    save(tmp_path / usual / "a/1.png")
    save(tmp_path / "other" / "a/1.png")
    save(tmp_path / "labels" / "a/1.png", 8, 8)
    images, pictures = find_images(tmp_path, None)
    assert (images.folder, pictures) == (usual, {"a/1": tmp_path / usual / "a/1.png"})
    assert find_images(tmp_path, "other")[0].folder == "other"


def test_a_frame_with_two_images_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "images/1.png")
    save(tmp_path / "images/1.jpg")
    with pytest.raises(DataError, match=r"1\.png is there as well as 1\.jpg"):
        find_images(tmp_path, None)


def test_targets_lie_in_folders_below_with_endings_and_in_columns(tmp_path: Path) -> None:
    for frame in ("1", "12", "a b"):
        save(tmp_path / f"images/{frame}.jpg")
        save(tmp_path / f"labels/crop/{frame}.png", 8, 8)
        save(tmp_path / f"both/{frame}_x.png", 8, 8)
        save(tmp_path / f"both/{frame}_y.png", 8, 8)
        save(tmp_path / f"strange/no{frame}.png", 8, 8)
    (tmp_path / "table.csv").write_text("frame,class,crop,1st,empty\n1.jpg,a,3,4,\n\n12,b,,4,\n")
    (tmp_path / "about.csv").write_text("author,year\nme,2020\n")
    sources, notes = found(tmp_path)
    assert {name: source.where for name, source in sources.items()} == {
        "both_x": "both/*_x.png",
        "both_y": "both/*_y.png",
        "labels_crop": "labels/crop/*",
        "class_2": "table.csv: class",
        "crop": "table.csv: crop",
        "task_1st": "table.csv: 1st",
    }
    assert sources["both_x"].files["12"] == [tmp_path / "both/12_x.png"]
    assert sources["crop"].cells == {"1": "3"} and sources["crop"].frames == 1
    assert notes == [
        "strange: its files are not called like the images",
        "about.csv: its first column does not name the images",
    ]


def test_an_end_that_all_images_have_is_no_part_of_their_names(tmp_path: Path) -> None:
    for number in (11, 21):
        save(tmp_path / f"images/c_{number}_leftImg8bit.png")
        save(tmp_path / f"gt/c_{number}_labels.png", 8, 8)
    images, pictures = find_images(tmp_path, None)
    short = shortened(tmp_path, pictures, images.folder)
    assert short is not None and short[0].ending == "_leftImg8bit.png" and list(short[1]) == ["c_11", "c_21"]
    ((source,), _) = find_sources(tmp_path, "images", short[1])
    assert (source.name, source.ending) == ("gt", "_labels.png")
    for number in (11, 21):
        save(tmp_path / f"plain/c_{number}.png")
    assert shortened(tmp_path, find_images(tmp_path, "plain")[1], "plain") is None


def test_a_name_that_the_program_uses_is_not_a_task(tmp_path: Path) -> None:
    save(tmp_path / "images/1.png")
    save(tmp_path / "type/1.png", 8, 8)
    assert set(found(tmp_path)[0]) == {"type_2"}
