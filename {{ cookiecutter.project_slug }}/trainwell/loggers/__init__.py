"""Lightning loggers that report a run elsewhere than in its folder."""
