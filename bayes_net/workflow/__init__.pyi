from .analysis import (
    Analysis as Analysis,
    analyse as analyse,
    prepare as prepare,
)
from .in_words import Explanation as Explanation, explain as explain
from .write import (
    rebuild_report as rebuild_report,
    run as run,
    write as write,
)
