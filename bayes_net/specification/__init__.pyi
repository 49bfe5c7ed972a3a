from .patients import PatientsPlan as PatientsPlan
from .read import (
    parse_specification as parse_specification,
    read_specification as read_specification,
    write_specification as write_specification,
)
from .synthesis import SynthesisPlan as SynthesisPlan
