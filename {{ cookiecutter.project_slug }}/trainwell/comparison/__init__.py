"""Compare runs from their folders alone: index, statistics, table, plots, page."""
