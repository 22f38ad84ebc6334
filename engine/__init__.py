"""Training: a trial, its loop, its files, and an experiment of several."""

from engine.experiment import run_experiment
from engine.saved_trial import load_trial
from engine.trainer import TrainingDivergedError

__all__ = ["TrainingDivergedError", "load_trial", "run_experiment"]
