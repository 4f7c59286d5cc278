"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # driver
    "runfile-module-in-use": "NVIDIA's installer says it while it runs and changes nothing: the box is as it was.",
    "suspend-resume-uvm": "Only a CUDA call shows it, with an error that names no suspend; cuda.init reports the call.",
}
