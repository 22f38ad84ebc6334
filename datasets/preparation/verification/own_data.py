"""Survey of your own data: the files, lists and columns that a configuration names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from datasets.file_index import files_by_frame
from datasets.folders import (
    FoldersDataset,
    check_root,
    column_values,
    no_training_target,
    own_places,
    own_splits,
    own_tasks,
    read_frame_list,
)
from datasets.preparation.verification.files import refusal
from datasets.preparation.verification.survey import Survey, check_leftovers
from datasets.splits import split_problems
from settings.config import ExperimentConfig
from utils.errors import DataError


def survey_own_data(config: ExperimentConfig, source: Path) -> Survey:
    """List the frames of all splits, with their images and those targets that they have.

    Args:
        config: of your own data.
        source: the file that it was read from.

    Raises:
        DataError: its folder is not there.
    """
    check_root(config)
    survey = Survey(f"own data, as {source} describes it", config.data_set, config.tasks, FoldersDataset)
    places = own_places(config)
    frames = _frames(config, survey)
    images = files_by_frame(places[None])
    if not frames:  # what is wrong with the lists is noted; the files can be read all the same
        frames = dict.fromkeys(images, places[None].folder)
    survey.add_frames(frames, places)
    for name, spec in own_tasks(config).items():
        if name in places:
            with_target = files_by_frame(places[name]).keys() & frames.keys()
        else:
            path = config.data_dir / str(spec.file)
            values = survey.read(
                partial(column_values, task=survey.tasks[name], frames=list(frames), images=config.images), path
            )
            if values is None:
                continue
            with_target = set(values)
        survey.labelled[name] = len(with_target)
        training = survey.splits.get("train", ())
        if training and not with_target & set(training):
            place = places[name].folder if name in places else path
            survey.problems.append(refusal(place, no_training_target(config, name, training), "a target of one at least"))
    check_leftovers(config.data_dir, survey)
    return survey


def _frames(config: ExperimentConfig, survey: Survey) -> dict[str, Path]:
    """Return the frames of all splits, each with what says that it is there, and note what is wrong with the splits."""
    images = config.data_dir / config.images.folder
    if config.split_files is None:
        try:
            survey.splits = own_splits(config)
        except DataError as error:
            survey.problems.append(refusal(images, error, "splits that can be used"))
        sources = dict.fromkeys(survey.splits, images)
    else:
        sources = {role: config.data_dir / file for role, file in dict(config.split_files).items() if file is not None}
        for role, path in sources.items():
            try:
                names = survey.read(partial(read_frame_list, config=config), path)
            except FileNotFoundError:
                survey.add(path, "is missing", f"a list of frames, which split_files.{role} names")
                continue
            if names is not None:
                survey.splits[role] = names
        survey.problems += split_problems(survey.splits, sources)
    survey.counts = {role: len(names) for role, names in survey.splits.items()}
    return {name: sources[role] for role in reversed(survey.splits) for name in survey.splits[role]}
