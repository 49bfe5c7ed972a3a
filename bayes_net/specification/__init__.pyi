from .patients import PatientsPlan as PatientsPlan
from .read import (
    parse_specification as parse_specification,
    read_specification as read_specification,
)
from .synthesis import SynthesisPlan as SynthesisPlan
