"""Copy the figures that the pages show from finished runs: ``python docs/live/pictures.py results``."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent / "pictures"
MODELS = HERE.parents[1] / "models"
PICTURES = {
    "prrt_pooled_forest.svg": ("prrt_pooled", "forest_pfs.svg"),
    "netter1_synthetic_attrition.svg": ("netter1_synthetic", "attrition_pfs.svg"),
}
"""Each picture, and the run and the figure that it is a copy of."""


def made_from() -> dict[str, str]:
    """What the runs read: the sha256 of every specification and table of published numbers."""
    runs = sorted({run for run, _ in PICTURES.values()})
    files = [*(MODELS / f"{run}.toml" for run in runs), *sorted((MODELS / "data").glob("*.csv"))]
    return {
        file.relative_to(MODELS).as_posix(): hashlib.sha256(file.read_text("utf-8").encode()).hexdigest()
        for file in files
    }


def main(results: Path) -> None:
    """Copy every picture, unless its run failed the diagnostics gate."""
    for name, (run, figure) in PICTURES.items():
        if json.loads((results / run / "manifest.json").read_text(encoding="utf-8"))["gate"] != "passed":
            sys.exit(f"{run} failed its gate; its figures are not shown")
        shutil.copyfile(results / run / "figures" / figure, HERE / name)
    (HERE / "made_from.json").write_text(json.dumps(made_from(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
