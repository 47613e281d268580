"""Feature tables: split first, everything fitted on training rows only, nothing that knows the target."""

from __future__ import annotations

from tahoe_engine.features.loaded import Features, load_features
from tahoe_engine.features.plan import FeaturesPlan, plan_features
from tahoe_engine.features.recipe import Recipe
from tahoe_engine.features.recipes import list_recipes, load_recipe
from tahoe_engine.features.report import FeaturesReport
from tahoe_engine.features.stage import make_features

__all__ = [
    "Features",
    "FeaturesPlan",
    "FeaturesReport",
    "Recipe",
    "list_recipes",
    "load_features",
    "load_recipe",
    "make_features",
    "plan_features",
]
