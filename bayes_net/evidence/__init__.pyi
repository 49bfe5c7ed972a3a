from .table import (
    Evidence as Evidence,
    EvidenceError as EvidenceError,
    read_evidence as read_evidence,
)
