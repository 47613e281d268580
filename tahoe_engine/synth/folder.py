"""The folder of a made-up atlas: claimed once, filled file by file, each whole or not there."""

from __future__ import annotations

import hashlib
import io
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tahoe_engine.errors import ConfigError
from tahoe_engine.run import sync_folder
from tahoe_engine.schema import CELLOSAURUS_ID
from tahoe_engine.synth.planted import LAW, tabulate_truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    import polars as pl

    from tahoe_engine._rust import SynthModel
    from tahoe_engine.synth.layout import Design
    from tahoe_engine.synth.options import Options

TRUTH: Final = Path("truth", "truth.json")
TEMPORARY: Final = ".unfinished-"
FORMAT: Final = 1


class Folder:
    """A folder that holds one made-up atlas and nothing else.

    Parameters
    ----------
    out : str or Path
        Missing, empty, or an atlas of the same options, which is then completed.
    options : Options
        Of the atlas.

    Raises
    ------
    ConfigError
        If other things are there, or an atlas of other options.
    """

    def __init__(self, out: str | Path, options: Options) -> None:
        self.root = Path(out)
        self.written = 0
        if self.root.exists() and not self.root.is_dir():
            raise ConfigError(f"{self.root} is a file; name a folder for the atlas")
        self.root.mkdir(parents=True, exist_ok=True)
        truth = self.root / TRUTH
        if truth.is_file():
            _require_same(truth, options)
        elif any(path.name != "truth" for path in self.root.iterdir()) or _holds_files(self.root / "truth"):
            raise ConfigError(f"{self.root} is not empty and is no made-up atlas; name another folder")
        for rest in self.root.glob(f"*/{TEMPORARY}*"):
            rest.unlink()

    @contextmanager
    def create(self, name: Path) -> Iterator[BinaryIO]:
        """Open a temporary file that gets its name once it is whole and on disk."""
        final = self.root / name
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.parent / f"{TEMPORARY}{uuid4().hex}"
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(final.parent)
        self.written += 1

    def put(self, name: Path, content: bytes) -> None:
        """Write a small file, unless it is there with this content."""
        final = self.root / name
        if not (final.is_file() and final.read_bytes() == content):
            with self.create(name) as file:
                file.write(content)

    def put_table(self, name: Path, table: pl.DataFrame) -> None:
        """Write a small table, unless it is there."""
        buffer = io.BytesIO()
        table.write_parquet(buffer, compression="zstd")
        self.put(name, buffer.getvalue())

    def describe(self, model: SynthModel, design: Design, options: Options, genes: pl.DataFrame) -> None:
        """Write `truth/` and `metadata/`: what is planted, and the tables of what is used."""
        plates = {f"plate{plate}": [w.sample for w in design.wells[part]] for plate, part, _ in design.sublibraries}
        truth = {
            "made_by": "tahoe synth",
            "format": FORMAT,
            "options": options.as_dict(),
            "law": LAW,
            "wells": plates,
            "wells_chosen": "the two DMSO_TF wells, then Adagrasib 0.05 uM, then by sample id",
            "lines": dict(zip(design.lines, design.names, strict=True)),
            "sublibraries": {f"plate{plate}": number for plate, _, number in design.sublibraries},
        }
        # First of all: from here on the folder is this atlas', and a stopped call can be taken up again.
        self.put(TRUTH, (json.dumps(truth, indent=2, ensure_ascii=False) + "\n").encode())
        for name, table in tabulate_truth(model, design, genes).items():
            self.put_table(Path("truth", f"{name}.parquet"), table)
        for name, table in _metadata(design, genes).items():
            self.put_table(Path("metadata", f"{name}.parquet"), table)


def digest_genes(genes: pl.DataFrame) -> str:
    """Give a hash of a vocabulary's values.

    Parameters
    ----------
    genes : polars.DataFrame
        As `load_genes` gives it.

    Returns
    -------
    str
        sha256 over its lines of text.
    """
    text = "\n".join("\t".join(str(value) for value in row) for row in genes.rows())
    return hashlib.sha256(text.encode()).hexdigest()


def _metadata(design: Design, genes: pl.DataFrame) -> dict[str, pl.DataFrame]:
    import polars as pl

    from tahoe_engine.vocabulary import load_cell_lines, load_drugs, load_samples

    samples = [well.sample for well in design.wells]
    drugs = list({well.drug for well in design.wells})
    lines = load_cell_lines().drop("assayed")
    return {
        "gene_metadata": genes,
        "sample_metadata": load_samples().drop("dose_um").filter(pl.col("sample").is_in(samples)),
        "drug_metadata": load_drugs().filter(pl.col("drug").is_in(drugs)),
        "cell_line_metadata": lines.filter(pl.col(CELLOSAURUS_ID).is_in(list(design.lines))),
    }


def _require_same(truth: Path, options: Options) -> None:
    try:
        recorded: dict[str, Any] = json.loads(truth.read_bytes())
        theirs, made_by, version = dict(recorded["options"]), recorded["made_by"], recorded["format"]
    except (ValueError, KeyError, TypeError):
        theirs, made_by, version = {}, None, None
    if made_by != "tahoe synth":
        raise ConfigError(f"{truth} is no truth of a made-up atlas; name another folder")
    if version != FORMAT:
        raise ConfigError(f"{truth.parent.parent} was made by another version; name another folder, or remove it")
    if differences := options.differences(theirs):
        raise ConfigError(
            f"{truth.parent.parent} holds an atlas of other options ({'; '.join(differences)}); "
            "name another folder, or remove it"
        )


def _holds_files(folder: Path) -> bool:
    """Tell whether there is more than what a call left that was stopped before it could claim the folder."""
    return folder.exists() and any(not path.name.startswith(TEMPORARY) for path in folder.iterdir())
