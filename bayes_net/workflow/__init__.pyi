from .analysis import (
    Analysis as Analysis,
    analyse as analyse,
    prepare as prepare,
)
from .write import (
    rebuild_report as rebuild_report,
    run as run,
    write as write,
)
