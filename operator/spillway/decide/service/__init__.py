"""What one replica serves: the latency model, what is learned of it, and what it means at the mix at hand."""

from spillway.decide.service.capacity import Service, ServiceSource, service_of
from spillway.decide.service.model import Coefficients, Mix, Requirement, coefficients_of

__all__ = [
    "Coefficients",
    "Mix",
    "Requirement",
    "Service",
    "ServiceSource",
    "coefficients_of",
    "service_of",
]
