"""Chaos: the main job is killed, starved, cut off and lied to, and must end as if nothing had been."""
