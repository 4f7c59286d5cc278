"""Which NVIDIA driver a machine should get, and the steps of its distribution. Pure: nothing is run."""

from .plan import DriverPlan, DriverStep, plan_driver

__all__ = ["DriverPlan", "DriverStep", "plan_driver"]
