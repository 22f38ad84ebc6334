"""Synthetic faces in the layout of CelebAMask-HQ: drawn portraits for tests, examples and machines without real data.

A portrait is painted back to front from shapes given by signed distances, so that every border is smooth at any size.
Coordinates of a face: x right, y down, about 1 wide and 1.4 high around (0, 0), before a small turn and shift.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data_sets import CELEBA_ATTRIBUTES, CELEBA_CLASSES

Array = NDArray[Any]
Rng = np.random.Generator
Colour = tuple[float, ...]

VERSION = 1
"""Rises whenever the same (seed, face) gives another picture."""

SPLITS = ("train", "val", "test")

FIRST_ORIGINAL = {"train": 0, "val": 162771, "test": 182638}
"""First number, in CelebA, of each split of CelebAMask-HQ's own script."""

_SKINS = ((0.98, 0.85, 0.75), (0.94, 0.76, 0.63), (0.86, 0.66, 0.5), (0.7, 0.49, 0.35), (0.5, 0.34, 0.24))
_HAIRS = {
    "Black_Hair": (0.1, 0.09, 0.1),
    "Brown_Hair": (0.4, 0.24, 0.14),
    "Blond_Hair": (0.88, 0.7, 0.36),
    "Gray_Hair": (0.68, 0.68, 0.7),
}
_SHIRTS = ((0.2, 0.3, 0.5), (0.6, 0.18, 0.22), (0.85, 0.85, 0.87), (0.2, 0.4, 0.35), (0.2, 0.2, 0.23), (0.8, 0.6, 0.3))
_WALLS = (
    (0.55, 0.68, 0.78),
    (0.75, 0.7, 0.64),
    (0.45, 0.55, 0.5),
    (0.7, 0.55, 0.55),
    (0.38, 0.4, 0.5),
    (0.85, 0.82, 0.78),
)
_IRISES = ((0.35, 0.22, 0.12), (0.3, 0.5, 0.65), (0.35, 0.45, 0.25), (0.2, 0.13, 0.1))


@dataclass(frozen=True)
class Face:
    """All that a portrait shows; colours are (red, green, blue) in [0, 1], lengths in units of the face's width."""

    male: bool
    """Short hair, a wide jaw and thick brows; else long hair, a narrow chin and lashes."""
    smiling: bool
    arched: bool
    """Brows with a high arch; else straight ones."""
    glasses: bool
    bald: bool
    beard: bool
    lipstick: bool
    hair: str
    """A column of the attribute file: Black_Hair, Brown_Hair, Blond_Hair, Gray_Hair."""
    style: int
    """0 .. 2: which hair line."""
    skin: Colour
    shirt: Colour
    walls: tuple[Colour, Colour]
    iris: Colour
    frame: Colour
    turn: float
    """Roll of the head, in radians."""
    look: float
    """Shift of eyes, nose and mouth sideways, as if the head turned."""
    shift: tuple[float, float]
    scale: float
    jaw: float
    mood: float
    """-1 (corners of the closed mouth down) .. 0 (straight); for faces that do not smile."""
    light: float
    """-1 (from the left) .. 1 (from the right)."""
    grain: int
    """Seed of hair strands and camera noise."""

    def attributes(self) -> dict[str, int]:
        """All forty columns of the attribute file: 1 where the portrait shows it, else -1."""
        shown = {
            "Male": self.male,
            "Smiling": self.smiling,
            "Arched_Eyebrows": self.arched,
            "Eyeglasses": self.glasses,
            "Bald": self.bald,
            "Wearing_Lipstick": self.lipstick,
            "No_Beard": not self.beard,
            self.hair: not self.bald,
        }
        return {name: 1 if shown.get(name) else -1 for name in CELEBA_ATTRIBUTES}


def sample_face(rng: Rng) -> Face:
    """A random face; Male, Smiling, Arched_Eyebrows and Eyeglasses are drawn independently of each other."""
    male, smiling, arched, glasses = (bool(rng.random() < p) for p in (0.45, 0.5, 0.45, 0.25))

    def colour(choices: tuple[Colour, ...], spread: float = 0.05) -> Colour:
        chosen = np.array(choices[rng.integers(len(choices))]) + rng.normal(0, spread, 3)
        return tuple(np.clip(chosen, 0.03, 1).tolist())

    return Face(
        male=male,
        smiling=smiling,
        arched=arched,
        glasses=glasses,
        bald=male and bool(rng.random() < 0.12),
        beard=male and bool(rng.random() < 0.5),
        lipstick=not male and bool(rng.random() < 0.8),
        hair=str(rng.choice(list(_HAIRS), p=(0.35, 0.3, 0.22, 0.13))),
        style=int(rng.integers(3)),
        skin=colour(_SKINS, 0.015),
        shirt=colour(_SHIRTS),
        walls=(colour(_WALLS), colour(_WALLS)),
        iris=colour(_IRISES, 0.02),
        frame=colour(((0.08, 0.08, 0.1), (0.35, 0.18, 0.1), (0.15, 0.15, 0.35)), 0.02),
        turn=float(rng.normal(0, 0.06)),
        look=float(rng.uniform(-0.05, 0.05)),
        shift=(float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03))),
        scale=float(rng.uniform(0.9, 1.06)),
        jaw=float(rng.uniform(-0.02, 0.02)),
        mood=float(rng.uniform(-1, 0)),
        light=float(rng.uniform(-1, 1)),
        grain=int(rng.integers(2**31)),
    )


class Canvas:
    """An image (H, W, 3) and a mask (H, W) that grow by painting shapes over each other."""

    def __init__(self, face: Face, size: tuple[int, int]) -> None:
        height, width = size
        self.pixel = 2 / (face.scale * min(size))
        """Width of a pixel in the face's coordinates."""
        row, column = np.indices(size, np.float32)
        x = (column - (width - 1) / 2) * self.pixel - face.shift[0]
        y = (row - (height - 1) / 2) * self.pixel - face.shift[1]
        c, s = np.float32(np.cos(face.turn)), np.float32(np.sin(face.turn))
        self.x, self.y = c * x + s * y, c * y - s * x
        self.image = np.zeros((*size, 3), np.float32)
        self.mask = np.zeros(size, np.uint8)

    def paint(self, inside: Array, colour: Any, label: str | None = None, opacity: float = 1.0) -> None:
        """Lay a colour (3,) or (H, W, 3) over where ``inside`` (H, W), a distance to the border, is positive.

        ``label`` is the class that more than half covered pixels get; without it the mask stays.
        """
        cover = np.clip(0.5 + inside / self.pixel, 0, 1)
        self.image += (opacity * cover)[..., None] * (np.asarray(colour, np.float32) - self.image)
        if label is not None:
            self.mask[cover > 0.5] = CELEBA_CLASSES.index(label)

    def ellipse(self, x: float, y: float, a: float, b: float, lower: float = 2.0) -> Array:
        """Return the depth of each pixel inside an ellipse around (x, y); ``lower`` > 2 makes its lower half squarer."""
        u, v = np.abs(self.x - x) / a, (self.y - y) / b
        power = np.where(v > 0, lower, 2.0)
        level = u**power + np.abs(v) ** power
        steep = power * np.hypot(u ** (power - 1) / a, np.abs(v) ** (power - 1) / b)
        return (1 - level) / np.maximum(steep, 1e-3)

    def stroke(self, x: float, y: float, reach: float, bend: float, thick: float, peak: float = 0.0) -> Array:
        """Return the depth of each pixel inside a curved line: ``reach`` to both sides of x, ends ``bend`` above the middle y.

        It is ``thick`` to both sides and thins out at its ends; its middle lies ``peak`` (in reaches) beside x.
        """
        s = (self.x - x) / reach
        away = np.abs(self.y - (y - bend * (s - peak) ** 2)) / np.sqrt(1 + (2 * bend * (s - peak) / reach) ** 2)
        return np.minimum(thick * np.sqrt(np.clip(1.15 - np.abs(s), 0, 1)) - away, (1 - np.abs(s)) * reach)


def _shade(colour: Colour, factor: float) -> Array:
    return np.clip(np.array(colour, np.float32) * factor, 0, 1)


def _strands(canvas: Canvas, face: Face) -> Array:
    """Colour of the hair (H, W, 3): strands that run over the head and hang down, with a band of light."""
    angle = np.arctan2(canvas.x, np.maximum(0.5 - canvas.y, 0.5))
    waves = np.random.default_rng(face.grain).uniform(0, 6.28, 3)
    tone = sum(np.sin(angle * k + wave + 2 * canvas.y) for k, wave in zip((23, 37, 61), waves, strict=True))
    radius = np.hypot(canvas.x - 0.15 * face.light, canvas.y - 0.1)
    gloss = np.exp(-(((radius - 0.72) / 0.07) ** 2)) * (canvas.y < -0.2)
    base = np.array(_HAIRS[face.hair], np.float32)
    return np.clip(base * (1 + 0.09 * tone)[..., None] + (0.16 * gloss)[..., None], 0, 1)


def _paint_behind(canvas: Canvas, face: Face, strands: Array) -> None:
    """The wall, long hair, neck, shirt and ears."""
    first, second = (np.array(wall, np.float32) for wall in face.walls)
    canvas.image[:] = first + (second - first) * np.clip(0.5 + 0.4 * canvas.y + 0.3 * canvas.x, 0, 1)[..., None]
    spots = np.random.default_rng(face.grain + 1).uniform((-1, -1, 0.1), (1, 0.6, 0.25), (4, 3))
    for x, y, radius in spots.tolist():
        canvas.paint(canvas.ellipse(x, y, radius, radius), _shade(tuple(first), 1.25), opacity=0.25)
    if not face.male:
        length = (1.0, 0.75, 0.55)[face.style]
        fall = np.minimum(canvas.ellipse(0, 0, 0.68, length + 0.4, 3.5), canvas.y + 0.1)
        canvas.paint(np.maximum(fall, canvas.ellipse(0, -0.15, 0.66, 0.7)), strands * 0.8, "hair")
    neck = 0.29 if face.male else 0.22
    canvas.paint(np.minimum(neck - np.abs(canvas.x), canvas.y - 0.3), _shade(face.skin, 0.8), "background")
    canvas.paint(canvas.ellipse(0, 1.45, 1.0 if face.male else 0.85, 0.55), face.shirt, "background")
    canvas.paint(canvas.ellipse(0, 0.9, neck + 0.04, 0.17), _shade(face.skin, 0.84), "background")
    for side in (-1, 1):
        canvas.paint(canvas.ellipse(side * 0.55 + face.look / 2, 0.05, 0.09, 0.15), _shade(face.skin, 0.88), "background")


def _paint_head(canvas: Canvas, face: Face) -> None:
    """The skin with its shading, and a beard."""
    squareness, width = (2.7, 0.55) if face.male else (2.0, 0.52)
    oval = canvas.ellipse(0, 0.02, width + face.jaw, 0.72, squareness)
    canvas.paint(oval, face.skin, "skin")
    canvas.paint(oval, _shade(face.skin, 0.72), opacity=0.5)
    canvas.paint(np.minimum(oval, 0.0) + oval.clip(0, 0.09) * 0.5 - 0.02, face.skin, opacity=0.5)
    glow = np.exp(-((canvas.x - 0.25 * face.light) ** 2 / 0.12 + (canvas.y + 0.15) ** 2 / 0.3))
    canvas.image += (0.1 * glow * (oval > 0))[..., None]
    for side in (-1, 1):
        blush = np.exp(-((canvas.x - face.look - 0.28 * side) ** 2 + (canvas.y - 0.22) ** 2) / 0.012) * (oval > 0)
        canvas.image += (blush * (0.04 if face.male else 0.1))[..., None] * np.array([1, -0.25, -0.2], np.float32)
    if face.beard:
        hair = _shade(_HAIRS[face.hair], 0.75)
        chin = np.minimum(oval, canvas.y - 0.2 - 0.35 * np.clip(0.4 - np.abs(canvas.x), 0, 1))
        chin = np.maximum(chin, np.minimum(0.2 - np.abs(canvas.x - face.look), 0.05 - np.abs(canvas.y - 0.29)))
        canvas.paint(np.minimum(chin, oval), hair, opacity=0.72)


def _paint_hair(canvas: Canvas, face: Face, strands: Array) -> None:
    """The hair over the forehead and at the temples."""
    if face.bald:
        return
    x, y = canvas.x, canvas.y
    if face.male:
        line = (-0.42 + 0.35 * x * x, -0.46 + 0.25 * (x + 0.2) - 0.3 * x * x, -0.36 + 0.03 * np.sin(24 * x))[face.style]
        cap = np.minimum(canvas.ellipse(0, -0.2, 0.62, 0.66), line - y)
        sides = np.minimum(canvas.ellipse(0, -0.2, 0.61, 0.62), np.minimum(0.02 - canvas.ellipse(0, 0.02, 0.54, 0.72), -y))
        cap = np.maximum(cap, sides)
    else:
        parted = -0.5 + 0.9 * (np.abs(x - 0.12) ** 1.6)
        line = (parted, -0.32 - 0.02 * np.cos(20 * x) + 0.5 * x * x, -0.52 + 0.75 * np.abs(x + 0.25) ** 1.5)[face.style]
        cap = np.minimum(canvas.ellipse(0, -0.15, 0.66, 0.72), line - y)
        locks = np.minimum(canvas.ellipse(0, 0.1, 0.67, 0.85), np.minimum(np.abs(x) - 0.49, 0.6 - y))
        cap = np.maximum(cap, locks)
    canvas.paint(cap, strands, "hair")


def _paint_eyes(canvas: Canvas, face: Face) -> None:
    """Eyes, lids and brows."""
    brow = _shade(_HAIRS[face.hair], 0.6 if face.hair != "Gray_Hair" else 0.75)
    for side in (-1, 1):
        x, y = side * 0.225 + face.look, -0.04
        white = np.minimum(canvas.ellipse(x, y - 0.045, 0.13, 0.105), canvas.ellipse(x, y + 0.045, 0.13, 0.105))
        canvas.paint(canvas.ellipse(x, y - 0.02, 0.15, 0.1), _shade(face.skin, 0.82), opacity=0.55)
        canvas.paint(white, (0.97, 0.96, 0.95))
        canvas.paint(np.minimum(white, canvas.ellipse(x + face.look / 2, y, 0.052, 0.056)), face.iris)
        canvas.paint(np.minimum(white, canvas.ellipse(x + face.look / 2, y, 0.024, 0.026)), (0.03, 0.03, 0.03))
        canvas.paint(canvas.ellipse(x + face.look / 2 + 0.018, y - 0.02, 0.013, 0.013), (1, 1, 1))
        lash = 0.011 if face.male else 0.02
        canvas.paint(canvas.stroke(x, y - 0.058, 0.135, -0.055, lash), (0.1, 0.07, 0.06), opacity=0.9)
        thick = 0.034 if face.male else 0.02
        if face.arched:
            canvas.paint(canvas.stroke(x, -0.27, 0.165, -0.09, thick, 0.06 * side), brow, opacity=0.9)
        else:
            canvas.paint(canvas.stroke(x, -0.185, 0.165, 0.0, thick), brow, opacity=0.9)


def _paint_nose_and_mouth(canvas: Canvas, face: Face) -> None:
    """A nose; lips that smile with teeth, or closed ones."""
    x, dark = face.look * 1.4, _shade(face.skin, 0.7)
    side = -1.0 if face.light > 0 else 1.0
    canvas.paint(canvas.ellipse(x + 0.035 * side, 0.08, 0.03, 0.14), dark, opacity=0.25)
    canvas.paint(canvas.ellipse(x, 0.17, 0.075, 0.05), _shade(face.skin, 1.06), opacity=0.5)
    canvas.paint(canvas.stroke(x, 0.215, 0.075, 0.03, 0.014), dark, opacity=0.9)
    lips: Array = np.array((0.78, 0.12, 0.2)) if face.lipstick else np.array(face.skin) * (0.82, 0.6, 0.58)
    y, thick = 0.41, 0.035 if face.male else 0.045
    if face.smiling:
        for cheek in (-1, 1):
            crease = canvas.ellipse(face.look + cheek * 0.27, 0.34, 0.012, 0.07)
            canvas.paint(crease, dark, opacity=0.5)
        reach, low = 0.225, 0.15
        across = ((canvas.x - face.look) / reach) ** 2
        bottom = y + low * (1 - across) - 0.035
        top = y + 0.03 * (1 - across) - 0.035
        ends = (1 - np.sqrt(across)) * reach
        mouth = np.minimum(np.minimum(canvas.y - top, bottom - canvas.y), ends)
        canvas.paint(np.minimum(mouth + thick * 0.75, ends + 0.015), lips)
        canvas.paint(mouth, (0.35, 0.08, 0.09))
        canvas.paint(np.minimum(mouth, y + 0.035 - canvas.y + 0.02 * (1 - across)), (0.98, 0.97, 0.94))
    else:
        bend = 0.05 * face.mood
        canvas.paint(canvas.stroke(face.look, y + 0.022, 0.16, bend, thick * 1.05), lips)
        canvas.paint(canvas.stroke(face.look, y, 0.175, bend, 0.011), _shade(tuple(lips), 0.5), opacity=0.9)


def _paint_glasses(canvas: Canvas, face: Face) -> None:
    """Two round-cornered lenses with a bridge, temples and a reflection."""
    for side in (-1, 1):
        x = side * 0.235 + face.look
        lens = canvas.ellipse(x, -0.03, 0.185, 0.15, 2.8)
        canvas.paint(lens, (0.8, 0.9, 0.95), opacity=0.14)
        glint = np.minimum(lens - 0.03, 0.018 - np.abs(canvas.x - x + 0.6 * canvas.y + 0.04))
        canvas.paint(glint, (1, 1, 1), opacity=0.35)
        canvas.paint(0.02 - np.abs(lens), face.frame)
        arm = np.minimum(0.014 - np.abs(canvas.y + 0.06), 0.075 - np.abs(canvas.x - side * 0.485 - face.look))
        canvas.paint(arm, face.frame)
    canvas.paint(canvas.stroke(face.look, -0.06, 0.065, -0.03, 0.02), face.frame)


def draw_face(face: Face, size: tuple[int, int] = (96, 96)) -> tuple[Array, Array]:
    """The portrait of ``face``: image (H, W, 3) uint8 and mask (H, W) uint8 (``CELEBA_CLASSES``).

    As in the formatted copy of the data set, skin is the whole oval of the face with eyes, mouth and glasses in it, and
    the neck and the ears are background.
    """
    canvas = Canvas(face, size)
    strands = _strands(canvas, face)
    _paint_behind(canvas, face, strands)
    _paint_head(canvas, face)
    _paint_eyes(canvas, face)
    _paint_nose_and_mouth(canvas, face)
    _paint_hair(canvas, face, strands)
    if face.glasses:
        _paint_glasses(canvas, face)
    light = 1 + 0.12 * face.light * np.clip(canvas.x, -1, 1)[..., None]
    noise = np.random.default_rng(face.grain + 2).normal(0, 0.012, canvas.image.shape)
    return np.round(np.clip(canvas.image * light + noise, 0, 1) * 255).astype(np.uint8), canvas.mask


def render_face(rng: Rng, size: tuple[int, int] = (96, 96)) -> dict[str, Any]:
    """One random portrait of ``size`` = (height, width).

    Returns:
        ``image`` (H, W, 3) uint8, ``segmask`` (H, W) uint8 (background 0, hair 1, skin 2), and ``attributes``: the
        forty columns of CelebA, 1 or -1.
    """
    face = sample_face(rng)
    image, mask = draw_face(face, size)
    return {"image": image, "segmask": mask, "attributes": face.attributes()}


def face_files(counts: Mapping[str, int]) -> list[str]:
    """Paths, relative to the root, of all that ``write_faces`` writes for these counts."""
    total = sum(counts[split] for split in SPLITS)
    faces = [name for k in range(total) for name in (f"CelebA-HQ-img/{k}.jpg", f"CelebA-HQ-segmask/{k:05d}_mask.npy")]
    return [*faces, "CelebAMask-HQ-attribute-anno.txt", "CelebA-HQ-to-CelebA-mapping.txt", "celebA_datasplit.json"]


def write_faces(
    root: Path,
    counts: Mapping[str, int],
    size: tuple[int, int] = (96, 96),
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> None:
    """Write a set of portraits in the layout of CelebAMask-HQ; face k depends on (seed, k) and the size alone.

    Args:
        root: folder to write into; made if needed.
        counts: faces of ``train``, ``val`` and ``test``; numbered through in this order, from 0.
        size: height and width in pixels.
        progress: wraps the range of face numbers, to show how far the writing is.
    """
    for folder in ("CelebA-HQ-img", "CelebA-HQ-segmask"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    original = [FIRST_ORIGINAL[split] + k for split in SPLITS for k in range(counts[split])]
    attributes = [str(len(original)), " ".join(CELEBA_ATTRIBUTES)]
    for k in progress(range(len(original))):
        portrait = render_face(np.random.default_rng([seed, k]), size)
        Image.fromarray(portrait["image"]).save(root / "CelebA-HQ-img" / f"{k}.jpg", quality=92)
        np.save(root / "CelebA-HQ-segmask" / f"{k:05d}_mask.npy", portrait["segmask"])
        attributes.append(f"{k}.jpg  " + " ".join(str(value) for value in portrait["attributes"].values()))
    mapping = [f"{k}    {number}    {number + 1:06d}.jpg" for k, number in enumerate(original)]
    names = iter(f"{k}.jpg" for k in range(len(original)))
    split_of = {split: [next(names) for _ in range(counts[split])] for split in SPLITS}
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(attributes) + "\n")
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(["idx    orig_idx    orig_file", *mapping]) + "\n")
    (root / "celebA_datasplit.json").write_text(json.dumps(split_of, indent=1) + "\n")
