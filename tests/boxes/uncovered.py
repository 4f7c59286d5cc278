"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # kernel log, PCI and boards
    "suspend-resume-uvm": "the kernel log shows that the machine slept, which healthy laptops do every day; that CUDA"
    " then fails is found where CUDA is started",
}
