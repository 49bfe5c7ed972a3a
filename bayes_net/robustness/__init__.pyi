from .compare import (
    Comparison as Comparison,
    compare as compare,
)
from .sensitivity import (
    Sensitivity as Sensitivity,
    sensitivity as sensitivity,
)
