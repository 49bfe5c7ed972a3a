from .content import tables as tables
from .table import (
    PaperTable as PaperTable,
    save_tables as save_tables,
)
