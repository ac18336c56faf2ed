"""Rules: each turns numbers that were measured into at most a few findings."""
