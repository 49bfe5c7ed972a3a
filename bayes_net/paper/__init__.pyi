from .content import tables as tables
from .regulators import appendix as appendix
from .table import (
    PaperTable as PaperTable,
    save_tables as save_tables,
)
