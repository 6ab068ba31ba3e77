"""Models as SavedModels and behind a REST interface."""
