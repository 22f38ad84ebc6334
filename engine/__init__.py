"""Training, evaluation and experiments."""

from engine.compact_evaluation import compact_is_equal
from engine.experiment import run_experiment
from engine.reevaluation import evaluate_experiment
from engine.saved_trial import load_trial
from engine.trainer import TrainingDivergedError

__all__ = ["TrainingDivergedError", "compact_is_equal", "evaluate_experiment", "load_trial", "run_experiment"]
