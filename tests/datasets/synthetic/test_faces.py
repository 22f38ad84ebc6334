"""Synthetic faces: what the attributes and the mask say is what the picture shows, in the files' official formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.synthetic.faces import Face, draw_face, face_files, render_face, sample_face, write_faces
from tasks.data_sets import CELEBA_ATTRIBUTES

SIZE = (64, 64)
BACKGROUND, HAIR, SKIN = range(3)


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return [sample_face(np.random.default_rng([0, k])) for k in range(400)]


@pytest.fixture
def plain(faces: list[Face]) -> Face:
    """A face in the middle of the picture, without hair over the brows."""
    middle = {"turn": 0.0, "look": 0.0, "shift": (0.0, 0.0), "scale": 1.0, "style": 0, "skin": (0.9, 0.72, 0.6)}
    traits = {"male": True, "beard": False, "bald": False, "glasses": False, "smiling": False, "arched": False}
    return replace(faces[0], **middle, **traits)  # type: ignore[arg-type]


def changed_rows(first: Face, second: Face) -> tuple[float, float]:
    """First and last row (0 top .. 1 bottom) in which the portraits differ."""
    differs = (draw_face(first, SIZE)[0] != draw_face(second, SIZE)[0]).any(-1).any(1)
    rows = np.flatnonzero(differs) / SIZE[0]
    return float(rows.min()), float(rows.max())


def test_the_mask_has_background_hair_and_skin_where_they_belong(plain: Face) -> None:
    image, mask = draw_face(plain, SIZE)
    assert image.shape == (*SIZE, 3) and image.dtype == np.uint8
    assert mask.shape == SIZE and mask.dtype == np.uint8
    assert mask[32, 32] == SKIN and mask[0, 0] == BACKGROUND and mask[63, 32] == BACKGROUND
    hair, skin = np.argwhere(mask == HAIR), np.argwhere(mask == SKIN)
    assert hair[:, 0].mean() < skin[:, 0].mean()
    close_to_skin = np.abs(image[mask == SKIN] / 255 - plain.skin).max(-1) < 0.25
    assert close_to_skin.mean() > 0.7


def test_the_hair_has_the_colour_that_the_attributes_name(plain: Face) -> None:
    def colour(name: str) -> Any:
        image, mask = draw_face(replace(plain, hair=name), SIZE)
        return image[mask == HAIR].mean(0)

    black, brown, blond, gray = (colour(f"{name}_Hair") for name in ("Black", "Brown", "Blond", "Gray"))
    assert black.mean() < brown.mean() < min(blond.mean(), gray.mean())
    assert blond[0] - blond[2] > 80 and abs(gray[0] - gray[2]) < 25


def test_bald_means_no_hair_and_no_colour_of_hair(plain: Face) -> None:
    bald = replace(plain, bald=True)
    assert not (draw_face(bald, SIZE)[1] == HAIR).any()
    assert (draw_face(plain, SIZE)[1] == HAIR).mean() > 0.05
    assert bald.attributes()["Bald"] == 1
    assert all(bald.attributes()[f"{name}_Hair"] == -1 for name in ("Black", "Brown", "Blond", "Gray"))


def test_glasses_change_the_band_of_the_eyes_alone(plain: Face) -> None:
    top, bottom = changed_rows(plain, replace(plain, glasses=True))
    assert 0.3 < top < 0.45 and 0.52 < bottom < 0.62


def test_a_smile_changes_the_lower_face_and_shows_teeth(plain: Face) -> None:
    smiling = replace(plain, smiling=True)
    top, bottom = changed_rows(plain, smiling)
    assert top > 0.55 and bottom < 0.85
    mouth = (slice(42, 50), slice(26, 38))
    teeth = [(draw_face(face, SIZE)[0][mouth].min(-1) > 200).sum() for face in (plain, smiling)]
    assert teeth[0] == 0 and teeth[1] > 10


def test_arched_brows_change_the_band_of_the_brows_alone(plain: Face) -> None:
    top, bottom = changed_rows(plain, replace(plain, arched=True))
    assert 0.3 < top < 0.4 and bottom < 0.48


def test_male_is_visible_as_shorter_hair_and_a_wider_chin(plain: Face) -> None:
    male, female = (draw_face(replace(plain, male=male), SIZE)[1] for male in (True, False))
    assert (female[40:] == HAIR).sum() > 50 > (male[40:] == HAIR).sum()
    assert (male[48] == SKIN).sum() > (female[48] == SKIN).sum() + 3


def test_attributes_are_drawn_independently_at_the_stated_rates(faces: list[Face]) -> None:
    columns = np.array([[face.male, face.smiling, face.arched, face.glasses] for face in faces], float)
    assert np.abs(columns.mean(0) - (0.45, 0.5, 0.45, 0.25)).max() < 0.08
    assert np.abs(np.corrcoef(columns.T) - np.eye(4)).max() < 0.15


def test_attributes_are_the_forty_columns_and_consistent(faces: list[Face]) -> None:
    for face in faces:
        columns = face.attributes()
        assert list(columns) == CELEBA_ATTRIBUTES and set(columns.values()) <= {-1, 1}
        assert (columns["Male"], columns["Eyeglasses"]) == (1 if face.male else -1, 1 if face.glasses else -1)
        assert (columns["Smiling"], columns["Arched_Eyebrows"]) == (1 if face.smiling else -1, 1 if face.arched else -1)
        assert columns["No_Beard"] == -columns["Male"] or columns["Male"] == 1
        assert columns["Wearing_Lipstick"] == -1 or columns["Male"] == -1
        hairs = [columns[f"{name}_Hair"] for name in ("Black", "Brown", "Blond", "Gray")]
        assert hairs.count(1) == (0 if face.bald else 1)
        assert columns["Wearing_Hat"] == -1


def test_a_face_depends_on_seed_and_number_alone() -> None:
    first, again, other = (render_face(np.random.default_rng(key), (32, 32)) for key in ([0, 3], [0, 3], [1, 3]))
    assert np.array_equal(first["image"], again["image"]) and np.array_equal(first["segmask"], again["segmask"])
    assert first["attributes"] == again["attributes"]
    assert not np.array_equal(first["image"], other["image"])


def test_the_files_have_the_official_formats(tmp_path: Path) -> None:
    counts = {"train": 3, "val": 2, "test": 2}
    write_faces(tmp_path, counts, (32, 32), seed=7)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(face_files(counts))

    lines = (tmp_path / "CelebAMask-HQ-attribute-anno.txt").read_text().splitlines()
    assert lines[0] == "7" and lines[1].split(" ") == CELEBA_ATTRIBUTES and len(lines) == 9
    drawn = render_face(np.random.default_rng([7, 4]), (32, 32))
    name, values = lines[2 + 4].split("  ", 1)
    assert name == "4.jpg"
    assert dict(zip(CELEBA_ATTRIBUTES, map(int, values.split(" ")), strict=True)) == drawn["attributes"]

    mask = np.load(tmp_path / "CelebA-HQ-segmask/00004_mask.npy", allow_pickle=False)
    assert mask.dtype == np.uint8 and np.array_equal(mask, drawn["segmask"])
    image = np.asarray(Image.open(tmp_path / "CelebA-HQ-img/4.jpg"))
    assert image.shape == (32, 32, 3) and np.abs(image - drawn["image"].astype(float)).mean() < 6


def test_the_mapping_and_the_json_put_every_face_in_the_same_split(tmp_path: Path) -> None:
    write_faces(tmp_path, {"train": 3, "val": 2, "test": 2}, (16, 16))
    header, *rows = (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").read_text().splitlines()
    assert header.split() == ["idx", "orig_idx", "orig_file"]
    by_rule: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for row in rows:
        index, original, file = row.split()
        assert file == f"{int(original) + 1:06d}.jpg"
        split = "test" if int(original) >= 182638 else "val" if int(original) >= 162771 else "train"
        by_rule[split].append(f"{index}.jpg")
    assert by_rule == json.loads((tmp_path / "celebA_datasplit.json").read_text())
    assert by_rule == {"train": ["0.jpg", "1.jpg", "2.jpg"], "val": ["3.jpg", "4.jpg"], "test": ["5.jpg", "6.jpg"]}
