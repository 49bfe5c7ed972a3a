from .tables import (
    PaperTable as PaperTable,
    save_tables as save_tables,
    tables as tables,
)
