"""Host side of gpusetup: detect, resolve, plan, install, accept, report. Never imports torch."""

__version__ = "0.1.0"
