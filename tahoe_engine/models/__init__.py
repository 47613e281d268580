"""The stage ``models``: fit, tune, validate and keep; every number beside its baseline."""

from __future__ import annotations

from tahoe_engine.models.plan import ModelsPlan, name_recipe, plan_models
from tahoe_engine.models.predict import predict_rows
from tahoe_engine.models.report import ModelsReport
from tahoe_engine.models.stage import train_models
from tahoe_engine.models.task import Task
from tahoe_engine.models.tasks import list_tasks, load_task

__all__ = [
    "ModelsPlan",
    "ModelsReport",
    "Task",
    "list_tasks",
    "load_task",
    "name_recipe",
    "plan_models",
    "predict_rows",
    "train_models",
]
