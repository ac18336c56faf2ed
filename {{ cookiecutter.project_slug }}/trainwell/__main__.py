"""``python -m trainwell``."""

from .cli.main import main

main()
