"""The schema of the configuration: what each key may be, what may not go together, and how a file becomes one typed object."""

from settings.config import ExperimentConfig, load_config, validate_config

__all__ = ["ExperimentConfig", "load_config", "validate_config"]
