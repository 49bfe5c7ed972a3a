from .compare import (
    Comparison as Comparison,
    compare as compare,
)
from .design import (
    Planned as Planned,
    design as design,
)
from .sensitivity import (
    Sensitivity as Sensitivity,
    sensitivity as sensitivity,
)
