"""Figures: the same bytes each time, names harmless, and every number that is drawn is in its table."""

from __future__ import annotations

import struct
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from made_judgements import (
    HOSTILE,
    make_calibration,
    make_candidates,
    make_comparison,
    make_confusion,
    make_curves,
    make_frame,
    make_importances,
    make_metrics,
    make_points,
)
from tahoe_engine.figures import Scores, draw_figures, find_scores
from tahoe_engine.figures.candidates import draw_candidates
from tahoe_engine.figures.comparison import draw_comparison
from tahoe_engine.figures.confusion import draw_confusion
from tahoe_engine.figures.curves import draw_curves
from tahoe_engine.figures.dots import Dot, find_limits
from tahoe_engine.figures.importances import draw_importances
from tahoe_engine.figures.overview import draw_overview
from tahoe_engine.figures.points import draw_points
from tahoe_engine.schema import models as schema

MODELS = ["ridge", "forest", "mean"]
SVG = "{http://www.w3.org/2000/svg}"


def score(values: dict[str, float | None], metric: str = "r2") -> Scores:
    return Scores(make_metrics(values, metric=metric), metric, target="delta_mean", unit="log1p(CP10k)")


def make_tables(models: list[str], classes: list[str]) -> dict[str, pl.DataFrame]:
    return {
        "metrics": make_metrics({model: 0.5 - 0.1 * i for i, model in enumerate(models)}),
        "points": make_points(models),
        "confusion": make_confusion(models, classes),
        "calibration": make_calibration(models, classes),
        "curves": make_curves(models),
        "candidates": make_candidates(models[0]),
        "importances": make_importances(models, classes, classes),
        "comparison": make_comparison(models, classes[:2]),
    }


def read_texts(svg: bytes) -> list[str]:
    """What a drawing says, in its order."""
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - ours


def read_told(svg: bytes) -> str:
    return " ".join(read_texts(svg))


def test_every_table_has_its_figure_as_drawing_and_as_picture() -> None:
    drawn = draw_figures(make_tables(MODELS, ["a", "b"]))
    names = ("calibration", "candidates", "comparison", "confusion", "curves", "importances", "overview", "points")
    assert sorted(drawn) == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    for name, content in drawn.items():
        if name.endswith(".svg"):
            assert ET.fromstring(content).tag == f"{SVG}svg"  # noqa: S314 - ours
        else:
            assert content[:8] == b"\x89PNG\r\n\x1a\n"
            width, height = struct.unpack(">II", content[16:24])
            assert width > 300
            assert height > 200


def test_hostile_names_are_drawn_as_they_are() -> None:
    """Each of them is on the axis: no mathematics, no markup, no name lost for its underscore."""
    told = read_texts(draw_overview(score(dict.fromkeys(HOSTILE, 0.5)))["overview.svg"])
    assert "$\\frac{1}{0}$" in told
    assert "<script>alert('x')</script>" in told
    assert "\\x1b[2J\\nnext\\u202eline" in told
    assert "\\u7ec6\\u80de\\u7cfb \\U0001f9ec" in told
    assert "_hidden" in told
    assert "(empty)" in told
    assert "x" * 18 + "…" + "x" * 17 in told


def test_hostile_tables_are_drawn_without_a_warning() -> None:
    tables = make_tables([HOSTILE[0]], list(HOSTILE))
    drawn = draw_figures(
        {name: tables[name] for name in ("calibration", "confusion", "curves", "importances", "points")}
    )
    assert len(drawn) == 10
    for name, content in drawn.items():
        assert b"<script" not in content, name
    for name in ("calibration", "confusion", "importances"):
        assert any("<script" in text for text in read_texts(drawn[f"{name}.svg"])), name


def test_a_legend_leaves_no_name_out() -> None:
    """The library leaves out of a legend what begins with an underscore."""
    drawn = draw_figures({"calibration": make_calibration(["m"], ["_a", "b"])})
    assert {"_a", "b"} <= set(read_texts(drawn["calibration.svg"]))
    drawn = draw_figures({"comparison": make_comparison(["m"], ["_a", "b"])})
    assert {"_a", "b"} <= set(read_texts(drawn["comparison.svg"]))


def test_models_stand_best_first_by_the_direction_of_the_metric() -> None:
    values: dict[str, float | None] = {"low": 0.1, "high": 0.9, "none": None, "middle": 0.5}

    def order(metric: str) -> list[str]:
        return [text for text in read_texts(draw_overview(score(values, metric))["overview.svg"]) if text in values]

    assert order("r2") == ["high", "middle", "low"]
    assert order("rmse") == ["low", "middle", "high"]


def test_the_overview_tells_value_interval_baseline_and_n() -> None:
    told = read_told(draw_overview(score({"ridge": 0.4375}))["overview.svg"])
    assert "0.4375 [0.3875, 0.4875], baseline 0" in told
    assert "4,137 rows of the split test" in told
    assert "R² of delta_mean [log1p(CP10k)]" in told


def test_panels_tell_the_number_and_its_baseline() -> None:
    told = read_texts(
        draw_points(make_points(MODELS), score({"ridge": 0.5, "forest": 0.25, "mean": 0.0}))["points.svg"]
    )
    titles = [text for text in told if "baseline" in text]
    assert titles[:3] == ["R² 0.5, baseline 0", "R² 0.25, baseline 0", "R² 0, baseline 0"]


def test_a_tie_is_told_as_a_tie() -> None:
    tied = read_told(draw_candidates(make_candidates("forest", tied=3), Scores())["candidates.svg"])
    alone = read_told(draw_candidates(make_candidates("forest", tied=1), Scores())["candidates.svg"])
    assert "forest: 54 candidates; 3 are equally good" in tied
    assert "equally good" not in alone
    assert "The best 20 of 54 candidates of a model are shown." in tied
    assert "max_depth=null, min_samples_leaf=1, n_estimators=50" in tied  # max_features is the same for all


def test_the_share_of_a_class_is_the_colour_and_the_count_is_written() -> None:
    rows = [
        {"model": "m", "split": "test", "y": y, "y_pred": y_pred, "n": n}
        for y, y_pred, n in (("a", "a", 1234), ("a", "b", 6), ("b", "b", 50))
    ]
    told = read_texts(draw_confusion(make_frame(schema.CONFUSION, rows), Scores())["confusion.svg"])
    assert {"1,234", "6", "50"} <= set(told)
    assert "0" not in told  # nothing is written where no row is


def test_fifty_classes_have_names_and_no_numbers() -> None:
    classes = [f"CVCL_{i:04d}" for i in range(50)]
    told = read_texts(draw_confusion(make_confusion(MODELS, classes), Scores())["confusion.svg"])
    assert [told.count(name) for name in classes] == [4] * 50  # both axes of two models
    assert "The best 2 of 3 models are shown." in " ".join(told)


def test_more_classes_than_fit_are_counted() -> None:
    rows = [{"model": "m", "split": "test", "y": f"{i}", "y_pred": f"{i}", "n": i + 1} for i in range(250)]
    told = read_told(draw_confusion(make_frame(schema.CONFUSION, rows), Scores())["confusion.svg"])
    assert "The 200 most frequent of 250 classes are shown." in told


def test_equal_features_share_their_number_and_negative_ones_are_hatched() -> None:
    drawn = draw_importances(make_importances(["ridge"], ["a", "b", "c"]), Scores())["importances.svg"]
    told = read_texts(drawn)
    assert {"1. a", "1. b", "3. c"} <= set(told)
    assert b"pattern" in drawn
    positive = make_importances(["ridge"], ["a", "b", "c"]).filter(pl.col("kind") == "permutation")
    assert b"<pattern" not in draw_importances(positive, Scores())["importances.svg"]


def test_a_number_far_from_all_others_does_not_flatten_the_picture() -> None:
    """The axis ends near the rest; the number itself stands in the line."""
    values: dict[str, float | None] = {"wild": -1000.0, **{f"m{i}": 0.1 * i for i in range(6)}}
    told = read_told(draw_overview(score(values))["overview.svg"])
    assert "-1000 [-1000, -1000], baseline 0" in told
    assert not any(f"\N{MINUS SIGN}{number}" in told for number in (1000, 500))  # as an axis writes them


def test_the_best_candidate_is_in_the_picture_however_near_the_others_are() -> None:
    """A far baseline does not flatten the candidates; in the overview it is there all the same."""
    dots = [Dot("", x, baseline=0.5) for x in (0.00188, 0.00201, 0.00204, 0.00204, 0.00206)]
    left, right = find_limits(dots, baselines=False)
    assert left < 0.00188
    assert 0.00206 < right < 0.003
    left, right = find_limits(dots)
    assert left < 0.00188
    assert right > 0.5


def test_the_axis_of_a_wide_parameter_is_logarithmic_without_mathematics() -> None:
    told = read_texts(draw_curves(make_curves(["ridge"]), score({"ridge": 0.5}))["curves.svg"])
    assert {"0.01", "0.1", "10", "100"} <= set(told)
    assert not any("mathdefault" in text or "$" in text for text in told)


def test_what_cannot_be_drawn_is_left_out() -> None:
    wild = [None, float("nan"), float("inf"), 1e300]
    metrics = score({f"m{i}": value for i, value in enumerate(wild)})
    assert draw_overview(metrics) == {}
    rows = [{"model": "m", "curve": "rows", "x": 1.0, "part": "train", "metric": "r2", "value": x} for x in wild]
    assert draw_curves(make_frame(schema.CURVES, rows), metrics) == {}
    rows = [{"model": "m", "set": "", "metric": "r2", "mean": x, "folds": 5, "n": 9} for x in wild[:3]]
    assert draw_comparison(make_frame(schema.COMPARISON, rows), metrics) == {}


@pytest.mark.parametrize(
    "name", ["points", "confusion", "calibration", "curves", "candidates", "importances", "comparison"]
)
def test_an_empty_table_has_no_figure(name: str) -> None:
    table = next(table for table in schema.MODEL_TABLES if table.name == f"models/{name}")
    assert draw_figures({name: make_frame(table, [])}) == {}


def test_one_model_one_class_one_feature_are_drawn() -> None:
    assert len(draw_figures(make_tables(["only"], ["a"]))) == 16


def test_a_hundred_models_are_cut_and_counted() -> None:
    many = score({f"model_{i}": i / 100 for i in range(100)})
    told = read_told(draw_overview(many)["overview.svg"])
    assert "The best 40 of 100 models are shown." in told
    assert "model_60" in told
    assert "model_59" not in told


def test_the_split_and_the_metric_are_those_of_the_tests() -> None:
    metrics = make_metrics({"ridge": 0.5}, metric="rmse")
    assert (find_scores({"metrics": metrics}).metric, find_scores({"metrics": metrics}).split) == ("rmse", "test")
    row = {"model": "ridge", "split": "validation", "metric": "r2", "baseline": "mean", "n_groups": 9}
    tests = make_frame(schema.TESTS, [row | {"beats_baseline": False}])
    found = find_scores({"metrics": metrics, "tests": tests})
    assert (found.metric, found.split) == ("r2", "validation")


def test_one_fold_is_not_shown_where_all_are_compared() -> None:
    metrics = make_metrics({"ridge": 0.5}).filter(pl.col("split").str.starts_with("cv"))
    both = {"metrics": metrics, "comparison": make_comparison(["ridge"], ["all"])}
    assert sorted(draw_figures(both)) == ["comparison.png", "comparison.svg"]


def test_groups_are_no_models_numbers() -> None:
    """The rows of a group must not be taken for those of the whole split."""
    whole = make_metrics({"ridge": 0.5})
    group = whole.with_columns(pl.lit("line=a").alias("group"), pl.lit(0.9).alias("value"))
    number = Scores(pl.concat([group, whole, group]), "r2").find("ridge")
    assert number is not None
    assert number.value == 0.5
