from .analysis import (
    Analysis as Analysis,
    analyse as analyse,
    prepare as prepare,
)
from .compare import (
    Comparison as Comparison,
    compare as compare,
)
from .sensitivity import (
    Sensitivity as Sensitivity,
    sensitivity as sensitivity,
)
from .write import (
    rebuild_report as rebuild_report,
    run as run,
    write as write,
)
